/** The archives in a dump folder, and the small files beside each: `.notes`, `.protected` and the log. */
import { access, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseArchiveName } from "../../pve/archive-name";
import { markForPrune } from "./prune";
import { type PruneCandidate, type PruneEntry, type Retention } from "./types";

/** Marker file of a protected archive. */
export function protectionPath(archivePath: string): string {
  return `${archivePath}.protected`;
}

/** Notes file of an archive. */
export function notesPath(archivePath: string): string {
  return `${archivePath}.notes`;
}

/** Log file of the backup that made the archive. */
export function logPath(archivePath: string): string {
  return archivePath.replace(/\.vma(?:\.[a-z]+)?$/, ".log");
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

/** Archives of VMs in a folder, of one guest or of all; a missing folder holds none. `ctime` is the name's time, else the file's. */
export async function listArchives(dumpDir: string, storage: string, vmId?: number): Promise<PruneCandidate[]> {
  let names: string[];
  try {
    names = await readdir(dumpDir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const candidates: PruneCandidate[] = [];
  for (const name of names.sort()) {
    if (!/^[^/]+\.vma(?:\.(?:zst|gz|lzo))?$/.test(name)) continue;
    if (vmId !== undefined && !name.includes(`-${vmId}-`)) continue;
    const path = join(dumpDir, name);
    const parsed = parseArchiveName(name);
    candidates.push({
      volid: `${storage}:backup/${name}`,
      ctime: Math.floor((parsed?.time.getTime() ?? (await stat(path)).mtimeMs) / 1000),
      ...(parsed === undefined ? {} : { vmid: parsed.vmId }),
      type: name.startsWith("vzdump-qemu-") ? "qemu" : "unknown",
      protected: await exists(protectionPath(path)),
    });
  }
  return candidates;
}

/** Removes an archive with its notes and log. Throws PVE's text for a protected one; a missing one is no error. */
export async function removeArchive(archivePath: string): Promise<void> {
  if (await exists(protectionPath(archivePath))) throw new Error(`cannot remove protected archive '${archivePath}'`);
  await rm(archivePath, { force: true });
  await rm(notesPath(archivePath), { force: true });
  await rm(logPath(archivePath), { force: true });
}

export interface PruneArgs {
  readonly dumpDir: string;
  readonly storage: string;
  readonly retention: Retention;
  /** Only archives of this guest. Default: of all guests. */
  readonly vmId?: number;
  /** Only tells what it would do. */
  readonly dryRun?: boolean;
  readonly log?: (line: string) => void;
}

/** Applies a retention to a folder, as the task `prunebackups` and the end of vzdump do. Throws after trying all. */
export async function pruneArchives(args: PruneArgs): Promise<PruneEntry[]> {
  const entries = markForPrune(await listArchives(args.dumpDir, args.storage, args.vmId), args.retention);
  if (args.dryRun === true) return entries;
  let failed = false;
  for (const entry of entries) {
    if (entry.mark !== "remove") continue;
    args.log?.(`removing backup '${entry.volid}'`);
    try {
      await removeArchive(join(args.dumpDir, entry.volid.replace(/^[^:]+:backup\//, "")));
    } catch (error) {
      failed = true;
      args.log?.(
        `error when removing backup '${entry.volid}' - ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  if (failed) throw new Error("error pruning backups - check log");
  return entries;
}
