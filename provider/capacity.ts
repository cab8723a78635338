/**
 * Whether a restored VM has room: on the storage for all its disks at full size, on the node for its memory. A thin pool that
 * fills up or a node without memory stops production too, so this is asked before anything is changed.
 */
import type { PveClient } from "../pve/client";
import { PveApiError, PveNotFound } from "../pve/errors";
import { nodeMemory } from "../pve/nodes/node";
import { storageStatus } from "../pve/nodes/storage";
import { extractConfig } from "../pve/nodes/vzdump";
import { parsePropertyString } from "../pve/property-string";
import { parseDiskSize } from "../pve/size";
import { diskKeys, isCdrom, isCloudInitDrive, parseVmConfig, qmdumpMap } from "../pve/vm-config";
import type { LeaseInputs } from "./contract/run";
import { messageOf } from "./text";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** PVE makes cloud-init drives of this size (qemu-server `PVE::QemuServer::Cloudinit`). */
const CLOUD_INIT_BYTES = 4 * MIB;
/** Memory of a VM whose configuration names none (qemu-server `memory` default). */
const DEFAULT_MEMORY_MIB = 512;

/**
 * Spare room as a part of the disks: a thin pool needs some for its bookkeeping, ZFS slows down when it is nearly full, and
 * production goes on writing while the drill runs.
 */
const DISK_MARGIN = 0.1;
/** Memory that must stay free beside the VM's: QEMU's own (about 200 MiB) and what the node takes while it restores. */
const MEMORY_MARGIN_BYTES = 512 * MIB;

/** What the disks of one storage need. */
export interface DiskNeeds {
  /** Bytes of all virtual disks, EFI, TPM and cloud-init drives included. */
  readonly bytes: number;
  /** Disks whose configuration tells no size; they count as nothing. */
  readonly unsized: readonly string[];
}

/** What a VM needs, from its archive's configuration. */
export interface Needs {
  /** By the storage that the disks were on when they were backed up. */
  readonly disks: ReadonlyMap<string, DiskNeeds>;
  readonly memoryBytes: number;
}

/** Reads the needs from the configuration inside an archive, `#qmdump#` lines included. Pure. */
export function needsOf(archiveConfig: string, memoryMiB?: number): Needs {
  const config = parseVmConfig(archiveConfig);
  const restored = new Map(qmdumpMap(archiveConfig).map(({ key, storage }) => [key, storage]));
  const disks = new Map<string, DiskNeeds>();
  for (const key of diskKeys(config)) {
    const drive = config[key] ?? "";
    const isCloudInit = isCloudInitDrive(drive);
    if (!isCloudInit && (isCdrom(drive) || (restored.size > 0 && !restored.has(key)))) continue;
    const { file = "", size } = parsePropertyString(drive, "file");
    const storage = restored.get(key) ?? file.split(":")[0] ?? "";
    const bytes = isCloudInit ? CLOUD_INIT_BYTES : size === undefined ? undefined : parseDiskSize(size);
    disks.set(storage, addDisk(disks.get(storage), key, bytes));
  }
  // A property string in newer versions, `current=4096`.
  const { current } = parsePropertyString(config["memory"] ?? "", "current");
  const memory = memoryMiB ?? Number(current ?? DEFAULT_MEMORY_MIB);
  return { disks, memoryBytes: memory * MIB };
}

function addDisk(needs: DiskNeeds = { bytes: 0, unsized: [] }, key: string, bytes: number | undefined): DiskNeeds {
  return bytes === undefined
    ? { ...needs, unsized: [...needs.unsized, key] }
    : { ...needs, bytes: needs.bytes + bytes };
}

/** All disks on one storage. */
export function allDisks({ disks }: Needs): DiskNeeds {
  const all = [...disks.values()];
  return { bytes: all.reduce((sum, { bytes }) => sum + bytes, 0), unsized: all.flatMap(({ unsized }) => unsized) };
}

/** What a run needs of node and storage. */
export type CapacityArgs = Pick<LeaseInputs, "kind" | "node" | "storage" | "restorePoint" | "memoryMiB">;

/** The archive's own configuration can't be read: a finding about the backup, which a drill has to bring to light. */
export class UnreadableArchive extends Error {
  constructor(archive: string, cause: unknown) {
    super(
      `Unable to read the configuration inside the archive ${archive}: ${messageOf(cause)} ` +
        "The archive may be damaged: verify it, and drill an older one.",
      { cause },
    );
    this.name = "UnreadableArchive";
  }
}

/**
 * What stands in the way of a restore, each with both numbers; nothing if there is room.
 *
 * @throws UnreadableArchive
 */
export async function capacityProblems(client: PveClient, args: CapacityArgs): Promise<string[]> {
  return (await measure(client, args)).problems;
}

/**
 * Makes sure that there is room. Gives the configuration inside the archive, from which the needs were read.
 *
 * @throws UnreadableArchive; Error with both numbers of everything that is short
 */
export async function requireCapacity(client: PveClient, args: CapacityArgs): Promise<string> {
  const { problems, archiveConfig } = await measure(client, args);
  if (problems.length === 0) return archiveConfig;
  throw new Error(`Unable to restore ${args.restorePoint.archive}: ${problems.join("; ")}.`);
}

async function measure(
  client: PveClient,
  args: CapacityArgs,
): Promise<{ readonly problems: string[]; readonly archiveConfig: string }> {
  const { node, storage, restorePoint } = args;
  const [archiveConfig, memory] = await Promise.all([
    configInside(client, node, restorePoint.archive),
    nodeMemory(client, node),
  ]);
  const needs = needsOf(archiveConfig, args.memoryMiB);
  const targets = storage === undefined ? [...needs.disks] : [[storage, allDisks(needs)] as const];
  const rooms = await Promise.all(targets.map(([name, disks]) => roomProblem(client, args, name, disks)));
  const problems = rooms.filter((problem) => problem !== undefined);
  const neededMemory = needs.memoryBytes + MEMORY_MARGIN_BYTES;
  if (memory.available < neededMemory) {
    problems.push(
      `node ${node} has ${gib(memory.available)} of memory left and the VM needs ${gib(neededMemory)} ` +
        `(${gib(needs.memoryBytes)} and ${gib(MEMORY_MARGIN_BYTES)} to spare). ` +
        `${args.kind === "drill" ? "Set drill.memoryMiB to less, or stop" : "Stop"} other guests. ` +
        "If it is ZFS' cache (ARC) that takes it, which counts as used, limit that on the node (zfs_arc_max)",
    );
  }
  return { problems, archiveConfig };
}

/** Why a storage can't take these disks, with both numbers; undefined if it can. */
async function roomProblem(
  client: PveClient,
  args: CapacityArgs,
  storage: string,
  { bytes, unsized }: DiskNeeds,
): Promise<string | undefined> {
  const key = `${args.kind === "drill" ? "drill" : "restore"}.storage`;
  const available = await availableOn(client, { node: args.node, storage, key });
  if (typeof available === "string") return available;
  // An old configuration may tell no size: then the archive's own is the least that the disk holds.
  const disks = bytes + (unsized.length > 0 ? args.restorePoint.archiveBytes : 0);
  const needed = disks * (1 + DISK_MARGIN);
  if (available >= needed) return undefined;
  return (
    `storage ${storage} has ${gib(available)} left and the archive's disks need ${gib(needed)} ` +
    `(${gib(disks)} and ${DISK_MARGIN * 100} % to spare). Make room on it, or set ${key} to another one`
  );
}

/** Only an answer that says so makes the archive unreadable; connection and privileges are other problems. */
async function configInside(client: PveClient, node: string, archive: string): Promise<string> {
  try {
    return await extractConfig(client, node, archive);
  } catch (error) {
    if (error instanceof PveApiError || error instanceof PveNotFound) throw new UnreadableArchive(archive, error);
    throw error;
  }
}

/** Bytes that can be written to a storage, or why it can't hold disks. */
async function availableOn(
  client: PveClient,
  { node, storage, key }: { readonly node: string; readonly storage: string; readonly key: string },
): Promise<number | string> {
  try {
    const { active, enabled, content, avail } = await storageStatus(client, node, storage);
    if (!enabled) return `storage ${storage} is disabled. Enable it, or set ${key} to another one`;
    if (!active) return `storage ${storage} is offline on ${node}. Bring it back, or set ${key} to another one`;
    if (!content.split(",").includes("images")) {
      return `storage ${storage} takes no disks, only ${content}. Set ${key} to one with content images`;
    }
    return avail ?? `storage ${storage} does not tell how much room it has. Set ${key} to another one`;
  } catch (error) {
    if (!(error instanceof PveNotFound)) throw error;
    return `node ${node} has no storage ${storage}. Correct ${key}`;
  }
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}
