/** Destroying a guest (PVE::API2::Qemu `destroy_vm`). */
import { type Lab } from "../context";
import { type TaskContext } from "../types";
import { ownVolumes } from "./config-change";

/** Problems that PVE reports before the task. @throws Error with PVE's texts. */
export function checkDestroyable(lab: Lab, vmId: number): void {
  const { current } = lab.guests.read(vmId);
  lab.guests.checkLock(vmId);
  checkProtection(current, `can't remove VM ${vmId}`);
  if (lab.machines.status(vmId).status === "running") throw new Error(`VM ${vmId} is running - destroy failed`);
}

/** @throws Error with PVE's text when the guest is protected. */
export function checkProtection(config: Readonly<Record<string, string>>, what: string): void {
  if (config["protection"] === "1") throw new Error(`${what} - protection mode enabled`);
}

/** Work of a `qmdestroy` task. */
export async function destroyGuest(
  lab: Lab,
  vmId: number,
  options: { purge: boolean; unreferencedDisks: boolean },
  { log }: TaskContext,
): Promise<void> {
  await lab.guests.exclusively(vmId, async () => {
    checkDestroyable(lab, vmId);
    const { current, pending } = lab.guests.read(vmId);
    const volumes = new Set([...ownVolumes(lab.volumes, vmId, current), ...ownVolumes(lab.volumes, vmId, pending)]);
    if (options.unreferencedDisks)
      for (const { vmId: owner, volid } of await lab.volumes.images()) if (owner === vmId) volumes.add(volid);
    for (const volid of volumes) {
      await lab.volumes.free(volid);
      log(`  Logical volume "${volid}" successfully removed.`);
    }
    if (options.purge) {
      log(`purging VM ${vmId} from related configurations..`);
      lab.jobs.forgetGuest(vmId);
    }
    lab.acl.forget(`/vms/${vmId}`);
    lab.pools.forgetGuest(vmId);
    lab.guests.remove(vmId);
  });
}
