/** The invoke `homelab:drill:lookupRestorePoint`: which archive a run restores. */
import { parseArchiveName } from "../../pve/archive-name";
import type { PveClient } from "../../pve/client";
import { PveNotFound } from "../../pve/errors";
import { listBackups, storageStatus } from "../../pve/nodes/storage";
import { requireBackupSight } from "../backup-sight";
import { lookupRestorePointArgsSchema, type LookupRestorePointArgs, type RestorePoint } from "../contract/run";
import type { ProviderContext } from "../definition";
import { recordRefusal } from "../refusal";
import { type Candidate, candidateOf, chooseCandidate, NoChoice } from "../restore-point-choice";
import { messageOf } from "../text";

/** Arguments of the invoke. */
export const restorePointArgs = lookupRestorePointArgsSchema;

/**
 * Finds the archive that is chosen among those of a VM. Outside of previews a failure is written into evidence, because a
 * scheduled drill without an archive is a drill that did not pass.
 *
 * @throws Error when the storage can't be used, when the token could not see backups, when there is no archive, and when name
 * and `ctime` of an archive do not belong together.
 */
export async function lookupRestorePoint(
  context: ProviderContext,
  args: LookupRestorePointArgs,
): Promise<RestorePoint> {
  try {
    return await find(context, args);
  } catch (error) {
    if (args.plannedRun === undefined || context.signal.aborted) throw error;
    const { reportFile } = await recordRefusal({ ...args.plannedRun, restorePoint: null }, messageOf(error));
    throw new Error(`${messageOf(error)} The report is ${reportFile}.`, { cause: error });
  }
}

async function find({ client }: ProviderContext, args: LookupRestorePointArgs): Promise<RestorePoint> {
  await requireUsableStorage(client, args);
  const items = await listBackups(client, args.node, args.storage, args.sourceVmId);
  const candidates = items.flatMap((item) => candidateOf(item, args.sourceVmId));
  if (candidates.length === 0 && args.choice.choose !== "named") {
    await requireSight(client, args);
    throw problem(
      args,
      `the storage ${args.storage} has no finished backup of VM ${args.sourceVmId}, and the token could see one`,
      "Make one with the backup job, or correct storage and VMID",
    );
  }
  try {
    return restorePoint(chooseCandidate(candidates, args.choice, { vmId: args.sourceVmId, now: new Date() }));
  } catch (error) {
    if (!(error instanceof NoChoice)) throw error;
    const { choice } = args;
    const isOfThisVm = choice.choose === "named" && parseArchiveName(choice.archive)?.vmId === args.sourceVmId;
    if (candidates.length === 0 && isOfThisVm) await requireSight(client, args);
    throw problem(args, error.reason, error.advice);
  }
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

async function requireUsableStorage(client: PveClient, args: LookupRestorePointArgs): Promise<void> {
  const { node, storage } = args;
  try {
    const { type, active, enabled, content } = await storageStatus(client, node, storage);
    // Its backups are no files with vzdump's names, so that none of them would be seen.
    if (type === "pbs") {
      const cause = `the storage ${storage} is a Proxmox Backup Server, whose backups this version does not support`;
      throw problem(
        args,
        cause,
        "Back the VM up to a storage with vzdump archives too, and name that in homelab:backupStorage",
      );
    }
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

async function requireSight(client: PveClient, args: LookupRestorePointArgs): Promise<void> {
  await requireBackupSight(client, args, subjectOf(args));
}

function problem(args: LookupRestorePointArgs, cause: string, advice: string): Error {
  return new Error(`${subjectOf(args)}: ${cause}. ${advice}.`);
}

function subjectOf({ sourceVmId, storage }: LookupRestorePointArgs): string {
  return `Unable to find a restore point of VM ${sourceVmId} on storage ${storage}`;
}
