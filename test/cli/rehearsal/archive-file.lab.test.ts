/** Files that an operator may name, read by their content. Uses the system's zstd and lzop. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { inspectArchive } from "../../../cli/rehearsal/archive-file";
import { type GeneratedGuest, generatedConfig, writeGeneratedArchive } from "../../support/vma-generator";

const MIB = 1024 * 1024;
const guest: GeneratedGuest = {
  vmId: 137,
  name: "nextcloud",
  memoryMiB: 3072,
  cores: 4,
  disks: [{ key: "sata0", sizeBytes: 8 * MIB }],
  lines: ["sata1: local-lvm:vm-137-disk-7,backup=0,size=900G", "sockets: 2", "ide2: local:iso/debian.iso,media=cdrom"],
};
const time = new Date(2021, 3, 5, 1, 2, 3);

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "archive-file-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function make(extension: "vma" | "vma.zst" | "vma.gz" = "vma.zst", other: Partial<GeneratedGuest> = {}): string {
  return writeGeneratedArchive(folder, { ...guest, ...other }, time, extension);
}

async function problemOf(file: string): Promise<string> {
  const error = await inspectArchive(file, folder).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  return error instanceof Error ? error.message.replaceAll(folder, "<folder>") : "none";
}

it.each(["vma", "vma.zst", "vma.gz"] as const)("reads a .%s file of years ago", async (extension) => {
  const file = make(extension);
  expect(await inspectArchive(basename(file), folder)).toEqual({
    path: file,
    bytes: readFileSync(file).length,
    vmId: 137,
    name: `vzdump-qemu-137-2021_04_05-01_02_03.${extension}`,
    diskBytes: 8 * MIB,
    memoryMiB: 3072,
    sockets: 2,
    cores: 4,
    remarks: ["Disk sata1 is not in the archive (backup=0): the VM comes back without it."],
  });
});

it("reads a .vma.lzo file", async () => {
  const file = make("vma");
  execFileSync("lzop", ["-q", "-U", file]);
  expect(await inspectArchive(`${file}.lzo`, "/")).toMatchObject({ vmId: 137, memoryMiB: 3072 });
});

it("follows a link, and takes VMID and time of a renamed file from its content", async () => {
  const file = make();
  renameSync(file, join(folder, "my best backup"));
  symlinkSync("my best backup", join(folder, "link"));
  const { path, vmId, name, remarks } = await inspectArchive("link", folder);
  expect({ path, vmId, name }).toEqual({
    path: join(folder, "my best backup"),
    vmId: 137,
    name: "vzdump-qemu-137-2021_04_05-01_02_03.vma.zst",
  });
  expect(remarks[0]).toBe(
    "The file is no archive by its name; in the lab it is vzdump-qemu-137-2021_04_05-01_02_03.vma.zst.",
  );
});

const WANTED = "Give a vzdump-qemu-….vma file, as it is or compressed by zstd, gzip or lzo.";

describe("what is no archive of a VM is refused before anything is set up", () => {
  it("a missing file, a folder, an empty file, another kind of file, a container's backup", async () => {
    mkdirSync(join(folder, "dir"));
    writeFileSync(join(folder, "empty"), "");
    writeFileSync(join(folder, "disk.qcow2"), "QFI\xfb\0\0\0\x03 and more", "latin1");
    writeFileSync(join(folder, "vzdump-lxc-101-2021_04_05-01_02_03.tar.zst"), "x");
    expect(await problemOf("nope")).toBe(
      "Unable to rehearse the archive <folder>/nope: there is no such file. Check its path.",
    );
    expect(await problemOf("dir")).toBe(
      `Unable to rehearse the archive <folder>/dir: it is no regular file. ${WANTED}`,
    );
    expect(await problemOf("empty")).toBe(`Unable to rehearse the archive <folder>/empty: it is empty. ${WANTED}`);
    expect(await problemOf("disk.qcow2")).toBe(
      "Unable to rehearse the archive <folder>/disk.qcow2: it begins with 514649fb0000000320616e64, which no archive " +
        `of a VM does. ${WANTED}`,
    );
    expect(await problemOf("vzdump-lxc-101-2021_04_05-01_02_03.tar.zst")).toBe(
      "Unable to rehearse the archive <folder>/vzdump-lxc-101-2021_04_05-01_02_03.tar.zst: it is the backup of a " +
        "container (LXC). The lab restores virtual machines only.",
    );
  });

  it("a compressed file of something else, and a damaged header", async () => {
    writeFileSync(join(folder, "other.gz"), execFileSync("gzip", ["-c"], { input: Buffer.alloc(100_000, 1) }));
    const bytes = readFileSync(make("vma"));
    bytes.writeUInt8(bytes.readUInt8(12_300) ^ 1, 12_300);
    writeFileSync(join(folder, "damaged.vma"), bytes);
    expect(await problemOf("other.gz")).toBe(
      "Unable to rehearse the archive <folder>/other.gz: not a vma file - wrong magic number. " +
        `The file is damaged, or no backup of a VM. ${WANTED}`,
    );
    expect(await problemOf("damaged.vma")).toBe(
      "Unable to rehearse the archive <folder>/damaged.vma: wrong vma header chechsum. " +
        `The file is damaged, or no backup of a VM. ${WANTED}`,
    );
  });

  it("machines with passed-through hardware, each part by its name", async () => {
    const lines = ["hostpci0: 0000:01:00.0,pcie=1", "usb1: host=0658:0200", "args: -cpu host", "serial0: /dev/ttyS0"];
    expect(await problemOf(make("vma", { lines }))).toBe(
      "Unable to rehearse the archive <folder>/vzdump-qemu-137-2021_04_05-01_02_03.vma: the lab can't have such a machine: " +
        "hostpci0=0000:01:00.0,pcie=1: no PCI device is passed through; remove it; " +
        "usb1=host=0658:0200: no USB device is passed through; remove it; " +
        "args=-cpu host: only root of a real node may set it; remove it; " +
        "serial0=/dev/ttyS0: no serial device is passed through; use socket. " +
        "Restore a copy by hand on a node, remove that there and back the copy up; then rehearse its archive.",
    );
  });

  it("a configuration without its disk's data", async () => {
    const configText = `${generatedConfig(guest)}#qmdump#map:scsi5:drive-scsi5:local-lvm:raw:\n`;
    expect(await problemOf(make("vma", { configText }))).toBe(
      "Unable to rehearse the archive <folder>/vzdump-qemu-137-2021_04_05-01_02_03.vma: archive does not contain data for " +
        "drive 'scsi5'. The archive is incomplete; take another backup.",
    );
  });
});
