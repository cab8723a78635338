/** Whether an empty list of backups proves anything: PVE leaves out silently what the token may not see. */
import { ownPrivileges } from "../pve/access/permissions";
import type { PveClient } from "../pve/client";

/** @throws Error, beginning with `subject`, when the token could not see backups of the VM on the storage. */
export async function requireBackupSight(
  client: PveClient,
  { sourceVmId, storage }: { readonly sourceVmId: number; readonly storage: string },
  subject: string,
): Promise<void> {
  const onStorage = await ownPrivileges(client, `/storage/${storage}`);
  if (onStorage.has("Datastore.Allocate")) return;
  const onVm = await ownPrivileges(client, `/vms/${sourceVmId}`);
  if (onStorage.has("Datastore.AllocateSpace") && onVm.has("VM.Backup")) return;
  throw new Error(
    `${subject}: the list of backups is empty, but the token may not see backups of VM ${sourceVmId}, so that proves nothing. ` +
      `Grant it VM.Backup on /vms/${sourceVmId} and Datastore.AllocateSpace on /storage/${storage}.`,
  );
}
