/**
 * Turns a root file system into a disk that boots by itself, without a mount or a loop device: an MBR with syslinux, a FAT
 * partition with kernel and initial ramdisk (mtools), an ext4 partition filled by `mke2fs -d`.
 */
import { mkdir, open, readdir, readFile, rename, truncate, writeFile } from "node:fs/promises";
import * as path from "node:path";

import { run } from "../../toolchain/process";
import { buildInitramfs } from "./initramfs";

const MIB = 1024 * 1024;
const SECTOR = 512;
const BOOT_START = MIB;
const BOOT_BYTES = 32 * MIB;
const ROOT_START = BOOT_START + BOOT_BYTES;
const ROOT_LABEL = "homelab-root";
/** Code area of the MBR; the partition table follows it. */
const MBR_CODE_BYTES = 440;
const MBR_CODE = "/usr/lib/syslinux/mbr/mbr.bin";

/**
 * The guest kernel's parameters. Console on both the first serial port (which the lab logs) and the screen; mitigations,
 * audit, AppArmor and SELinux off because each costs an emulated CPU and guards nothing in a lab.
 */
const KERNEL_PARAMETERS = [
  `root=LABEL=${ROOT_LABEL}`,
  "rw",
  "console=tty0",
  "console=ttyS0",
  "quiet",
  "net.ifnames=0",
  "mitigations=off",
  "apparmor=0",
  "selinux=0",
  "audit=0",
  "random.trust_cpu=on",
  "cloud-init=enabled",
].join(" ");

/** Input of {@link assembleDisk}. */
export interface DiskImageArgs {
  /** The guest's root file system; its /boot is emptied. */
  root: string;
  /** Existing folder for intermediate files, at least twice as large as the root file system. */
  workDir: string;
  /** The qcow2 image to write. */
  file: string;
  /** Virtual size of the disk. */
  diskBytes: number;
  /** Script that becomes /init of the initial ramdisk. */
  initScript: string;
}

/** Assembles the disk. Throws with the failing tool's last output. */
export async function assembleDisk(args: DiskImageArgs): Promise<void> {
  const kernel = await kernelRelease(args.root);
  const boot = path.join(args.workDir, "boot");
  await rename(path.join(args.root, "boot"), boot);
  await mkdir(path.join(args.root, "boot"));
  const bootImage = path.join(args.workDir, "boot.img");
  await writeFile(path.join(boot, "initrd.img"), await buildInitramfs(args.root, kernel, args.initScript));
  await writeFile(path.join(boot, "syslinux.cfg"), syslinuxConfig());
  await makeBootPartition(bootImage, {
    vmlinuz: path.join(boot, `vmlinuz-${kernel}`),
    "initrd.img": path.join(boot, "initrd.img"),
    "syslinux.cfg": path.join(boot, "syslinux.cfg"),
  });
  const disk = path.join(args.workDir, "disk.raw");
  await writeFile(disk, "");
  await truncate(disk, args.diskBytes);
  await partition(disk, args.workDir);
  await writeBootSectors(disk, bootImage);
  const kib = String(Math.floor((args.diskBytes - ROOT_START) / 1024)) + "k";
  const options = `offset=${ROOT_START},lazy_itable_init=1,lazy_journal_init=1`;
  await run("mke2fs", ["-q", "-t", "ext4", "-L", ROOT_LABEL, "-m", "1", "-E", options, "-d", args.root, disk, kib]);
  await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", disk, args.file]);
}

async function kernelRelease(root: string): Promise<string> {
  const releases = await readdir(path.join(root, "usr/lib/modules"));
  const [release] = releases;
  if (release === undefined || releases.length > 1) {
    throw new Error(
      `Unable to choose the guest's kernel: ${releases.length} kernels are installed in ${root}. ` +
        `Install exactly one in lab/images/cloud-image.ts.`,
    );
  }
  return release;
}

/** The boot loader's configuration: boot at once. */
export function syslinuxConfig(): string {
  return [
    "DEFAULT linux",
    "PROMPT 0",
    "TIMEOUT 0",
    "LABEL linux",
    "  LINUX /vmlinuz",
    "  INITRD /initrd.img",
    `  APPEND ${KERNEL_PARAMETERS}`,
    "",
  ].join("\n");
}

async function makeBootPartition(image: string, files: Readonly<Record<string, string>>): Promise<void> {
  await writeFile(image, "");
  await truncate(image, BOOT_BYTES);
  await run("mkfs.vfat", ["--invariant", "-F", "16", "-n", "BOOT", image]);
  for (const [name, source] of Object.entries(files)) await run("mcopy", ["-i", image, source, `::/${name}`]);
  await run("syslinux", ["--install", image]);
}

async function partition(disk: string, workDir: string): Promise<void> {
  const table = path.join(workDir, "partitions");
  const script = [
    "label: dos",
    "label-id: 0x686f6d65",
    `start=${BOOT_START / SECTOR}, size=${BOOT_BYTES / SECTOR}, type=e, bootable`,
    `start=${ROOT_START / SECTOR}, type=83`,
  ];
  await writeFile(table, `${script.join("\n")}\n`);
  await run("sh", ["-c", 'exec sfdisk --quiet "$1" <"$2"', "sh", disk, table]);
}

async function writeBootSectors(disk: string, bootImage: string): Promise<void> {
  const code = (await readFile(MBR_CODE)).subarray(0, MBR_CODE_BYTES);
  const handle = await open(disk, "r+");
  try {
    await handle.write(code, 0, code.length, 0);
    const boot = await readFile(bootImage);
    await handle.write(boot, 0, boot.length, BOOT_START);
  } finally {
    await handle.close();
  }
}
