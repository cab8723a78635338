/**
 * The empty VM trap: after the loss of a VM, an update of production would make a fresh, empty one under its VMID; the nightly
 * job would back that up and prune the archives of the lost one.
 */
import type { PveClient } from "../pve/client";
import { isVmIdFree } from "../pve/cluster/resources";
import { PveNotFound } from "../pve/errors";
import { listBackups, storageStatus } from "../pve/nodes/storage";
import { requireBackupSight } from "./backup-sight";
import type { CheckAccessArgs } from "./contract/access";

/**
 * Makes sure that no VM is made where an archive waits to be restored. Gives whether that can't be told yet, because the VM is
 * missing and the storage of its archives is not defined.
 *
 * @throws Error that names the newest archive; when the storage can't be read; when the token could not see archives.
 */
export async function isLookNeededAgain(
  client: PveClient,
  node: string,
  { vmId, backupStorage }: NonNullable<CheckAccessArgs["newVm"]>,
): Promise<boolean> {
  if (!(await isVmIdFree(client, vmId))) return false;
  const subject = `Unable to make VM ${vmId} on ${node}`;
  try {
    const { active, enabled } = await storageStatus(client, node, backupStorage);
    if (!active || !enabled) {
      throw new Error(
        `${subject}: it does not exist, and whether storage ${backupStorage} holds archives of it can't be told, because it is ` +
          `${enabled ? "offline" : "disabled"}. Bring the storage back first.`,
      );
    }
  } catch (error) {
    if (error instanceof PveNotFound) return true;
    throw error;
  }
  const archives = await listBackups(client, node, backupStorage, vmId);
  const newest = archives.sort((a, b) => b.ctime - a.ctime)[0];
  if (newest === undefined) {
    await requireBackupSight(client, { sourceVmId: vmId, storage: backupStorage }, subject);
    return false;
  }
  throw new Error(
    `${subject}: it does not exist, but storage ${backupStorage} holds ${archives.length === 1 ? "an archive" : `${archives.length} archives`} ` +
      `of it, the newest ${newest.volid} of ${new Date(newest.ctime * 1000).toISOString()}. An empty VM would take its place, be backed up, and in time ` +
      "prune these. Run pulumi up -s restore. If it is to begin anew, say so: homelab:consent " +
      `[{action: create, resource: docker-vm, until: "<time, soon>", reason: …}].`,
  );
}
