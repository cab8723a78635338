/** Which archives a row of drills goes over. */
import type { PveClient } from "../../pve/client";
import { type BackupItem, listBackups, storageStatus } from "../../pve/nodes/storage";
import { candidateOf } from "../../provider/restore-point-choice";
import type { DrillConfig } from "../../stacks/config";
import { CliError } from "../errors";

/** What was asked for on the command line. */
export type Selection =
  /** One drill of what the stack's configuration chooses. */
  | { readonly by: "configuration" }
  /** The newest archives. */
  | { readonly by: "last"; readonly count: number }
  /** These, as volume ids or file names. */
  | { readonly by: "name"; readonly names: readonly string[] };

/**
 * The archives to drill, newest first or in the order they were named.
 *
 * @throws CliError that names what there is
 */
export async function selectArchives(
  client: PveClient,
  { node, backupStorage, dockerVm: { vmId } }: Pick<DrillConfig, "node" | "backupStorage" | "dockerVm">,
  selection: Exclude<Selection, { by: "configuration" }>,
): Promise<BackupItem[]> {
  const subject = `Unable to choose archives of VM ${vmId} on storage ${backupStorage}`;
  if ((await storageStatus(client, node, backupStorage)).type === "pbs") {
    throw new CliError(
      `${subject}: it is a Proxmox Backup Server, whose backups this version does not support. ` +
        "Back the VM up to a storage with vzdump archives too, and name that in homelab:backupStorage.",
    );
  }
  const there = (await listBackups(client, node, backupStorage, vmId))
    .filter((item) => candidateOf(item, vmId).length > 0)
    .sort((left, right) => right.ctime - left.ctime);
  if (there.length === 0) {
    throw new CliError(
      `${subject}: the token sees none. Make one (homelab backup now), or grant it VM.Backup on /vms/${vmId} and ` +
        `Datastore.AllocateSpace on /storage/${backupStorage}.`,
    );
  }
  if (selection.by === "last") return there.slice(0, selection.count);
  const names = selection.names.map((name) => (name.includes(":") ? name : `${backupStorage}:backup/${name}`));
  const missing = names.filter((name) => !there.some(({ volid }) => volid === name));
  if (missing.length > 0) {
    const known = there.map(({ volid }) => volid).join(", ");
    throw new CliError(`${subject}: ${missing.join(", ")} is not there. There are: ${known}.`);
  }
  return names.flatMap((name) => there.filter(({ volid }) => volid === name));
}
