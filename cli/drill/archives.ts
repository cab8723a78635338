/** Which archives a row of drills goes over. */
import type { PveClient } from "../../pve/client";
import { type BackupItem, listBackups } from "../../pve/nodes/storage";
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
  const there = (await listBackups(client, node, backupStorage, vmId))
    .filter((item) => candidateOf(item, vmId).length > 0)
    .sort((left, right) => right.ctime - left.ctime);
  const subject = `Unable to choose archives of VM ${vmId} on storage ${backupStorage}`;
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
