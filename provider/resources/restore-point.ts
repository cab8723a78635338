/** The invoke `homelab:drill:lookupRestorePoint`: which archive a run restores. */
import { ownPrivileges } from "../../pve/access/permissions";
import { agreesWithCtime, parseArchiveName } from "../../pve/archive-name";
import type { PveClient } from "../../pve/client";
import { PveNotFound } from "../../pve/errors";
import { type BackupItem, listBackups, storageStatus } from "../../pve/nodes/storage";
import { lookupRestorePointArgsSchema, type LookupRestorePointArgs, type RestorePoint } from "../contract/run";
import type { ProviderContext } from "../definition";

/** Arguments of the invoke. */
export const restorePointArgs = lookupRestorePointArgsSchema;

/**
 * Finds the newest archive of a VM, or the given one.
 *
 * @throws Error when the storage can't be used, when the token could not see backups, when there is no archive, and when name
 * and `ctime` of an archive do not belong together.
 */
export async function lookupRestorePoint(
  { client }: ProviderContext,
  args: LookupRestorePointArgs,
): Promise<RestorePoint> {
  await requireUsableStorage(client, args);
  const items = await listBackups(client, args.node, args.storage, args.sourceVmId);
  const candidates = items.flatMap((item) => candidateOf(item, args.sourceVmId));
  if (args.archive !== undefined) return restorePoint(named(args, args.archive, items, candidates));
  if (candidates.length === 0) {
    await requireSight(client, args);
    throw problem(
      args,
      `the storage ${args.storage} has no finished backup of VM ${args.sourceVmId}, and the token could see one`,
      "Make one with the backup job, or correct storage and VMID",
    );
  }
  const newest = candidates.reduce((best, next) => (next.wallClockSeconds > best.wallClockSeconds ? next : best));
  const latest = candidates.reduce((best, next) => (next.item.ctime > best.item.ctime ? next : best));
  if (latest !== newest && latest.item.ctime !== newest.item.ctime) {
    throw problem(
      args,
      `by name ${newest.item.volid} is the newest, by time ${latest.item.volid}`,
      "Name the archive to restore explicitly, and find out who renamed or copied one of them",
    );
  }
  return restorePoint(newest);
}

interface Candidate {
  readonly item: BackupItem;
  readonly wallClockSeconds: number;
  readonly agrees: boolean;
}

function candidateOf(item: BackupItem, vmId: number): Candidate[] {
  const name = parseArchiveName(item.volid);
  if (name === undefined || name.vmId !== vmId) return [];
  return [{ item, wallClockSeconds: name.wallClockSeconds, agrees: agreesWithCtime(name, item.ctime) }];
}

function restorePoint({ item, agrees }: Candidate): RestorePoint {
  if (!agrees) {
    throw new Error(
      `Unable to use the archive ${item.volid}: Proxmox dates it ${new Date(item.ctime * 1000).toISOString()}, which its name ` +
        "contradicts. Find out who renamed it, or name another archive explicitly.",
    );
  }
  if (item.size === 0) {
    throw new Error(`Unable to use the archive ${item.volid}: it is empty. Name another archive explicitly.`);
  }
  return { archive: item.volid, archiveTime: item.ctime, archiveBytes: item.size, notes: item.notes ?? "" };
}

function named(
  args: LookupRestorePointArgs,
  archive: string,
  items: readonly BackupItem[],
  candidates: readonly Candidate[],
): Candidate {
  const found = candidates.find(({ item }) => item.volid === archive);
  if (found !== undefined) return found;
  const name = parseArchiveName(archive);
  if (name === undefined) {
    throw problem(args, `"${archive}" is no name of a finished VM archive`, "Take one from the storage's content");
  }
  if (name.vmId !== args.sourceVmId) {
    throw problem(args, `${archive} is an archive of VM ${name.vmId}`, `Name an archive of VM ${args.sourceVmId}`);
  }
  const others = items.map(({ volid }) => volid).join(", ") || "none";
  throw problem(args, `${archive} is not on the storage (there are: ${others})`, "Name one of these");
}

async function requireUsableStorage(client: PveClient, args: LookupRestorePointArgs): Promise<void> {
  const { node, storage } = args;
  try {
    const { active, enabled, content } = await storageStatus(client, node, storage);
    if (!enabled) throw problem(args, `the storage ${storage} is disabled`, "Enable it");
    if (!active) throw problem(args, `the storage ${storage} is offline on ${node}`, "Check the NAS and its mount");
    if (!content.split(",").includes("backup")) {
      throw problem(args, `the storage ${storage} holds no backups, only ${content}`, "Name the backup storage");
    }
  } catch (error) {
    if (!(error instanceof PveNotFound)) throw error;
    throw problem(args, `node ${node} has no storage ${storage}`, "Correct the storage, or bring prod up first");
  }
}

/** An empty list may only mean that the token sees nothing: PVE leaves out silently what it may not see. */
async function requireSight(client: PveClient, args: LookupRestorePointArgs): Promise<void> {
  const onStorage = await ownPrivileges(client, `/storage/${args.storage}`);
  if (onStorage.has("Datastore.Allocate")) return;
  const onVm = await ownPrivileges(client, `/vms/${args.sourceVmId}`);
  if (onStorage.has("Datastore.AllocateSpace") && onVm.has("VM.Backup")) return;
  throw problem(
    args,
    `the list of backups is empty, but the token may not see backups of VM ${args.sourceVmId}, so that proves nothing`,
    `Grant it VM.Backup on /vms/${args.sourceVmId} and Datastore.AllocateSpace on /storage/${args.storage}`,
  );
}

function problem({ sourceVmId, storage }: LookupRestorePointArgs, cause: string, advice: string): Error {
  return new Error(`Unable to find a restore point of VM ${sourceVmId} on storage ${storage}: ${cause}. ${advice}.`);
}
