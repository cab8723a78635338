/** Creating a guest (PVE::API2::Qemu `create_vm` without an archive). */
import { type Lab } from "../context";
import { messageOf } from "../errors";
import { type Access } from "../privileges/access-control";
import { type TaskContext, type VmConfig } from "../types";
import { makeDrives } from "./drive-volumes";

/** QEMU version that PVE 9.1 writes into `meta`. */
const QEMU_VERSION = "10.1.2";

/**
 * Work of a `qmcreate` task. The configuration exists with `lock: create`; after a failure it is gone again with all that
 * was made for it.
 */
export async function createGuest(
  lab: Lab,
  { vmId, values, access }: { readonly vmId: number; readonly values: VmConfig; readonly access: Access },
  context: TaskContext,
): Promise<void> {
  try {
    // Asked on the VM itself, which joins its pool only afterwards (PVE::GuestHelpers::assert_tag_permissions).
    if (values["tags"] !== undefined) access.require(`/vms/${vmId}`, "VM.Config.Options");
    const { values: stored } = await makeDrives(lab.volumes, vmId, values, context);
    lab.guests.write(vmId, { current: withDefaults(stored, lab.now()) });
  } catch (error) {
    lab.guests.remove(vmId);
    throw new Error(`unable to create VM ${vmId} - ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** What PVE fills in for a new guest. */
function withDefaults(values: VmConfig, now: Date): VmConfig {
  const drives = Object.keys(values).filter((key) => /^(ide|sata|scsi|virtio|net)\d+$/.test(key));
  return {
    smbios1: `uuid=${crypto.randomUUID()}`,
    vmgenid: crypto.randomUUID(),
    meta: `creation-qemu=${QEMU_VERSION},ctime=${Math.floor(now.getTime() / 1000)}`,
    ...(drives.length > 0 ? { boot: `order=${drives.join(";")}` } : {}),
    ...values,
  };
}
