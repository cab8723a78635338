/**
 * The guest's initial ramdisk: busybox, a short script and the disk drivers, as a cpio archive ("newc", the format of
 * the kernel's Documentation/driver-api/early-userspace/buffer-format.rst). It is left uncompressed: inflating it costs an
 * emulated CPU more than reading it.
 */
import { readFile } from "node:fs/promises";
import * as path from "node:path";

/** One entry of a cpio archive. Directories come before what they contain. */
export type CpioEntry =
  | { kind: "directory"; name: string }
  | { kind: "file"; name: string; mode: number; content: Buffer }
  | { kind: "symlink"; name: string; target: string };

const TYPE_BITS = { directory: 0o040755, file: 0o100000, symlink: 0o120777 } as const;

/** Writes a cpio archive whose entries belong to root and carry no time, so that equal content gives equal bytes. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const chunks = entries.flatMap((entry, index) => cpioRecord(entry, index + 1));
  return Buffer.concat([
    ...chunks,
    ...cpioRecord({ kind: "file", name: "TRAILER!!!", mode: 0, content: Buffer.alloc(0) }, 0),
  ]);
}

function cpioRecord(entry: CpioEntry, inode: number): Buffer[] {
  const content =
    entry.kind === "file" ? entry.content : Buffer.from(entry.kind === "symlink" ? entry.target : "", "utf8");
  const mode = TYPE_BITS[entry.kind] | (entry.kind === "file" ? entry.mode : 0);
  const name = Buffer.from(`${entry.name}\0`, "utf8");
  const links = entry.kind === "directory" ? 2 : 1;
  // inode, mode, uid, gid, nlink, mtime, file size, device major/minor, rdev major/minor, name size, checksum
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, "0")).join("")}`, "ascii");
  return [pad4(Buffer.concat([header, name])), pad4(content)];
}

function pad4(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}

/** Drivers of the disks that the lab and Proxmox give to Linux guests: virtio, and SCSI behind virtio-scsi. */
const DISK_MODULES = ["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod"];

/**
 * The files of kernel modules with all they depend on, in the order in which they can be loaded. `modulesDep` is the text
 * of `modules.dep`, whose lines name a module and everything it needs, the deepest dependency last (depmod(8)). Throws for
 * a module that the kernel has neither as a file nor knows of.
 */
export function moduleLoadOrder(modulesDep: string, wanted: readonly string[]): string[] {
  const order: string[] = [];
  const lines = modulesDep.split("\n").map((line) => line.split(/[:\s]+/).filter(Boolean));
  for (const name of wanted) {
    const line = lines.find(([file]) => file !== undefined && path.basename(file) === `${name}.ko`);
    if (line === undefined) {
      throw new Error(
        `Unable to build the guest's initial ramdisk: the kernel package has no module ${name}. ` +
          `Adapt the module list in lab/images/initramfs.ts to the kernel.`,
      );
    }
    for (const file of [...line].reverse()) if (!order.includes(file)) order.push(file);
  }
  return order;
}

/** Builds the initial ramdisk of the guest whose root file system lies in `root`. `kernel` is its kernel's release. */
export async function buildInitramfs(root: string, kernel: string, initScript: string): Promise<Buffer> {
  const modules = path.join(root, "usr/lib/modules", kernel);
  const files = moduleLoadOrder(await readFile(path.join(modules, "modules.dep"), "utf8"), DISK_MODULES);
  const entries: CpioEntry[] = ["bin", "dev", "proc", "sys", "root", "modules"].map((name) => ({
    kind: "directory",
    name,
  }));
  entries.push(
    { kind: "file", name: "bin/busybox", mode: 0o755, content: await readFile(path.join(root, "usr/bin/busybox")) },
    { kind: "symlink", name: "bin/sh", target: "busybox" },
    { kind: "file", name: "init", mode: 0o755, content: await readFile(initScript) },
  );
  for (const file of files) {
    const content = await readFile(path.join(modules, file));
    entries.push({ kind: "file", name: `modules/${path.basename(file)}`, mode: 0o644, content });
  }
  const order = files.map((file) => `${path.basename(file)}\n`).join("");
  entries.push({ kind: "file", name: "modules/order", mode: 0o644, content: Buffer.from(order) });
  return writeCpio(entries);
}
