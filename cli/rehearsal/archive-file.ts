/** An operator's own backup file: what it is, told by its content and never by its name alone. Nothing is written. */
import { open, realpath, stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { archiveConfig } from "../../lab/backup/restore";
import { planVolumes } from "../../lab/backup/restore-config";
import { refusals } from "../../lab/qemu/command-line";
import { decompress, type Compression } from "../../lab/vma/compression";
import type { VmaHeader } from "../../lab/vma/format";
import { openVma } from "../../lab/vma/reader";
import { parseArchiveName, printArchiveName, type ArchiveFormat } from "../../pve/archive-name";
import { parsePropertyString } from "../../pve/property-string";
import { diskKeys, driveVolume, isCdrom, parseVmConfig } from "../../pve/vm-config";
import { ownerOfVolume } from "../../pve/volume-id";
import { CliError, causeOf, hasCode } from "../errors";

/** Beginnings of the files that PVE makes. Sources: RFC 8878, RFC 1952, lzop's `lzop_magic`, pve-qemu `vma_spec.txt`. */
const MAGICS: readonly (readonly [Compression, Buffer])[] = [
  ["none", Buffer.from("VMA\0", "latin1")],
  ["zst", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ["gz", Buffer.from([0x1f, 0x8b])],
  ["lzo", Buffer.from([0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a])],
];
/** VMID of an archive that tells none. */
const DEFAULT_VM_ID = 100;
const DEFAULT_MEMORY_MIB = 512;

/** A VM's archive that the lab can restore. */
export interface ArchiveFile {
  /** Absolute, without symbolic links. */
  readonly path: string;
  readonly bytes: number;
  readonly vmId: number;
  /** Name under which PVE would list it; the file's own where that is one. */
  readonly name: string;
  /** Sizes of the archive's devices together; holes count. */
  readonly diskBytes: number;
  readonly memoryMiB: number;
  readonly sockets: number;
  readonly cores: number;
  /** What comes back otherwise than the operator may think; for people. */
  readonly remarks: readonly string[];
}

function failure(file: string, cause: string, advice: string, error?: unknown): CliError {
  return new CliError(`Unable to rehearse the archive ${file}: ${cause}. ${advice}`, { cause: error });
}

const WANTED = "Give a vzdump-qemu-….vma file, as it is or compressed by zstd, gzip or lzo";

/** Where a path leads that was typed in `folder`, and how its content is packed. Throws for what can be no archive of a VM. */
export async function findArchive(
  file: string,
  folder: string,
): Promise<{ path: string; bytes: number; compression: Compression }> {
  const typed = resolve(folder, file);
  const path = await realpath(typed).catch((error: unknown) => {
    const missing = hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR");
    throw failure(typed, missing ? "there is no such file" : causeOf(error), "Check its path.", error);
  });
  const { size, isFile } = await stat(path).then((entry) => ({ size: entry.size, isFile: entry.isFile() }));
  if (!isFile) throw failure(path, "it is no regular file", `${WANTED}.`);
  const name = basename(path);
  if (/^vzdump-(?:lxc|openvz)-/.test(name)) {
    throw failure(path, "it is the backup of a container (LXC)", "The lab restores virtual machines only.");
  }
  const beginning = await readBeginning(path);
  const compression = MAGICS.find(([, magic]) => beginning.subarray(0, magic.length).equals(magic))?.[0];
  if (compression === undefined) {
    const cause =
      size === 0 ? "it is empty" : `it begins with ${beginning.toString("hex")}, which no archive of a VM does`;
    throw failure(path, cause, `${WANTED}.`);
  }
  return { path, bytes: size, compression };
}

async function readBeginning(path: string): Promise<Buffer> {
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(12), 0, 12, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw failure(path, causeOf(error), "Make it readable for this user.", error);
  }
}

/**
 * Reads the archive's header and configuration, which are at its beginning, and checks that the lab can have such a machine.
 * Needs the decompressor of its kind.
 */
export async function inspectArchive(file: string, folder: string): Promise<ArchiveFile> {
  const { path, bytes, compression } = await findArchive(file, folder);
  const { header, text } = await readHeader(path, compression);
  const config = parseVmConfig(text);
  try {
    planVolumes(text, header.devices, undefined);
  } catch (error) {
    throw failure(path, causeOf(error), "The archive is incomplete; take another backup.", error);
  }
  const obstacles = refusals(config);
  if (obstacles.length > 0) {
    throw failure(
      path,
      `the lab can't have such a machine: ${obstacles.join("; ")}`,
      "Restore a copy by hand on a node, remove that there and back the copy up; then rehearse its archive.",
    );
  }
  const own = parseArchiveName(basename(path));
  const vmId = own?.vmId ?? vmIdOf(config);
  const format: ArchiveFormat = compression === "none" ? "vma" : `vma.${compression}`;
  const time = own?.time ?? new Date(header.ctime * 1000);
  const name = printArchiveName(vmId, time, format);
  const { current } = parsePropertyString(config["memory"] ?? "", "current");
  return {
    path,
    bytes,
    vmId,
    name,
    diskBytes: header.devices.reduce((sum, device) => sum + device.sizeBytes, 0),
    memoryMiB: Number(current ?? DEFAULT_MEMORY_MIB),
    sockets: Number(config["sockets"] ?? 1),
    cores: Number(config["cores"] ?? 1),
    remarks: [
      ...(basename(path) === name ? [] : [`The file is no archive by its name; in the lab it is ${name}.`]),
      ...missingDisks(config),
    ],
  };
}

async function readHeader(path: string, compression: Compression): Promise<{ header: VmaHeader; text: string }> {
  const pipe = decompress(path, compression);
  try {
    const { header } = await openVma(pipe.output as AsyncIterable<Buffer>);
    return { header, text: archiveConfig(header) };
  } catch (error) {
    pipe.kill();
    await pipe.finished.catch(() => undefined);
    const said = pipe.messages.at(-1)?.trim();
    const cause = `${causeOf(error)}${said === undefined ? "" : ` (${said})`}`;
    throw failure(path, cause, `The file is damaged, or no backup of a VM. ${WANTED}.`, error);
  } finally {
    pipe.kill();
  }
}

/** The VM that the disks are named after. */
function vmIdOf(config: Readonly<Record<string, string>>): number {
  const owners = diskKeys(config).map((key) => ownerOfVolume(driveVolume(config[key] ?? "")));
  return owners.find((owner) => owner !== undefined) ?? DEFAULT_VM_ID;
}

/** Disks that the operator excluded from backups. */
function missingDisks(config: Readonly<Record<string, string>>): string[] {
  return diskKeys(config)
    .filter((key) => !isCdrom(config[key] ?? "") && parsePropertyString(config[key] ?? "", "file")["backup"] === "0")
    .map((key) => `Disk ${key} is not in the archive (backup=0): the VM comes back without it.`);
}
