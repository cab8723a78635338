/**
 * The cloud image that the lab's guests are made of: Debian 12 with the cloud kernel, cloud-init, SSH, the guest agent and
 * a Docker engine, tuned to boot fast on an emulated CPU. It is built from Debian packages; `guest/` holds what differs
 * from the packages.
 */
import { cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import * as path from "node:path";

import { contentKey, ensureCached } from "../../toolchain/cache";
import { causeOf, type Log, run, withProgress } from "../../toolchain/process";
import { sha256OfFile } from "./digest";
import { assembleDisk } from "./disk-image";

const GUEST = path.join(__dirname, "guest");
const SUITE = "bookworm";
const DISK_BYTES = 4 * 1024 ** 3;

const PACKAGES = [
  "linux-image-cloud-amd64",
  "systemd",
  "systemd-sysv",
  "dbus",
  "udev",
  "kmod",
  "busybox-static",
  "openssh-server",
  "docker.io",
  "iptables",
  "qemu-guest-agent",
  "cloud-init",
  "curl",
  "ca-certificates",
  "openssl",
  "sudo",
  "iproute2",
  "iputils-ping",
  "procps",
];

/** Documentation and translations: never read in the guest, and part of every backup. Licences stay. */
const EXCLUDED_PATHS = ["man", "locale", "doc", "info"].map((name) => `path-exclude=/usr/share/${name}/*`);

/** The cloud image as a file. */
export interface CloudImage {
  /** qcow2, in the cache: open it read-only or copy it. */
  file: string;
  /** Lower-case hexadecimal digest of the file. */
  sha256: string;
  /** Size of the file, not of the disk in it (that is 4 GiB). */
  sizeBytes: number;
}

/** What {@link ensureCloudImage} is to do. */
export interface CloudImageArgs {
  /** Root of the project's cache; the image lies below `images/`. */
  cacheDir: string;
  /** Takes the progress lines. */
  log: Log;
}

/**
 * Returns the cloud image, built when the cache has none of this recipe (about two minutes; root and network needed).
 * What it expects of cloud-init: a NoCloud drive (`cidata`) with user, keys and a version 1 network configuration, as
 * Proxmox makes it. Two calls at once build once. Throws with the failed step and its output.
 */
export async function ensureCloudImage(args: CloudImageArgs): Promise<CloudImage> {
  const sources = ["cloud-image.ts", "disk-image.ts", "initramfs.ts"].map((name) => path.join(__dirname, name));
  const key = await contentKey([GUEST, ...sources].map((source) => ({ path: source })));
  const dir = await ensureCached(path.join(args.cacheDir, "images", `cloud-${key}`), args.log, async (empty) => {
    await withProgress(args.log, "building the guest's cloud image from Debian packages", (report) =>
      build(empty, report),
    );
  });
  const file = path.join(dir, "disk.qcow2");
  const sha256 = (await readFile(path.join(dir, "sha256"), "utf8")).trim();
  return { file, sha256, sizeBytes: (await stat(file)).size };
}

async function build(dir: string, report: (detail: string) => void): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error(
      "Unable to build the guest's cloud image: this user isn't root, and its files belong to many users. " +
        "Run the same command as root.",
    );
  }
  const work = path.join(dir, "work");
  const root = path.join(work, "root");
  await mkdir(work);
  await bootstrap(root, report);
  report("assembling the disk");
  const file = path.join(dir, "disk.qcow2");
  await assembleDisk({
    root,
    workDir: work,
    file,
    diskBytes: DISK_BYTES,
    initScript: path.join(GUEST, "initramfs-init.sh"),
  });
  await writeFile(path.join(dir, "sha256"), `${await sha256OfFile(file)}\n`);
  await rm(work, { recursive: true });
}

async function bootstrap(root: string, report: (detail: string) => void): Promise<void> {
  const overlay = path.join(path.dirname(root), "overlay");
  await cp(path.join(GUEST, "rootfs"), overlay, { recursive: true });
  await run("chown", ["-R", "0:0", overlay]);
  await run("chmod", ["-R", "u=rwX,go=rX", overlay]);
  const args = [
    "--mode=root",
    "--variant=apt",
    ...[...EXCLUDED_PATHS, "path-include=/usr/share/doc/*/copyright"].map((option) => `--dpkgopt=${option}`),
    '--aptopt=APT::Install-Recommends "false"',
    `--include=${PACKAGES.join(",")}`,
    `--customize-hook=cp -a ${shellQuote(overlay)}/. "$1"/`,
    `--customize-hook=sh ${shellQuote(path.join(GUEST, "customize.sh"))} "$1"`,
    SUITE,
    root,
  ];
  // INITRD=No: the kernel package's hook must not build an initramfs (/etc/kernel/postinst.d/initramfs-tools).
  const env = {
    ...process.env,
    INITRD: "No",
    LC_ALL: "C.UTF-8",
    TMPDIR: path.dirname(root),
  };
  try {
    await run("mmdebstrap", args, {
      env,
      onLine: (line) => report(line.replace(/^I: /, "").slice(0, 80)),
    });
  } catch (error) {
    throw new Error(
      `Unable to build the guest's cloud image: ${causeOf(error)}\nCheck that apt can reach a Debian mirror and that the ` +
        `disk has 4 GB free, then run the same command again.`,
      { cause: error },
    );
  }
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
