/**
 * Changing a guest's configuration (PVE::API2::Qemu `update_vm_api`): at once when it is stopped; of a running guest only
 * what needs no new hardware, the rest waits for its next start. The lab plugs nothing into running guests.
 */
import { isCloudInitDrive } from "../../pve/vm-config";
import { type Lab } from "../context";
import { type GuestConfig } from "../guests";
import { type TaskContext, type VmConfig } from "../types";
import { applyChange } from "./config-change";
import { isAppliedAtOnce } from "./config-values";
import { checkProtection } from "./destroy";
import { isDriveKey } from "./drive";
import { makeDrives } from "./drive-volumes";

export interface GuestChange {
  /** Normalised; drives as the caller sent them. */
  readonly values: VmConfig;
  readonly deleted: readonly string[];
  readonly force: boolean;
  /** Refuses the change when the configuration is another by now. */
  readonly digest?: string;
}

/** The configuration that the guest will have after its next start. */
export function pendingView({ current, pending, pendingDelete }: GuestConfig): VmConfig {
  const kept = Object.entries(current).filter(([key]) => !pendingDelete.includes(key));
  return { ...Object.fromEntries(kept), ...pending };
}

/** @throws Error with PVE's texts; then nothing was changed. */
export async function updateGuest(lab: Lab, vmId: number, change: GuestChange, context: TaskContext): Promise<void> {
  await lab.guests.exclusively(vmId, async () => {
    const config = lab.guests.read(vmId);
    lab.guests.checkLock(vmId);
    if (change.digest !== undefined && change.digest !== config.digest)
      throw new Error("detected modified configuration - file changed by other user? Try again.");
    for (const key of change.deleted)
      if ((isDriveKey(key) || /^unused\d+$/.test(key)) && config.current[key] !== undefined)
        checkProtection(config.current, `can't remove drive '${key}'`);
    const values = await withVolumes(lab, vmId, config, change.values, context);
    const stopped = lab.machines.status(vmId).status === "stopped";
    const now = (key: string): boolean => stopped || isAppliedAtOnce(key);
    const { config: current, freed } = applyChange(lab.volumes, vmId, config.current, {
      values: pick(values, now),
      deleted: change.deleted.filter(now),
      force: change.force,
    });
    const later = pick(values, (key) => !now(key));
    const pending = {
      ...pick(config.pending, (key) => values[key] === undefined && !change.deleted.includes(key)),
      ...later,
    };
    const pendingDelete = [
      ...config.pendingDelete.filter((key) => values[key] === undefined),
      ...change.deleted.filter((key) => !now(key) && current[key] !== undefined),
    ];
    lab.guests.write(vmId, {
      current,
      pending: pick(pending, (key) => pending[key] !== current[key]),
      pendingDelete: [...new Set(pendingDelete)],
    });
    for (const volid of freed) await lab.volumes.free(volid);
  });
}

/** Makes new volumes. A cloud-init drive that is asked for where there is one stays the one it is. */
async function withVolumes(
  lab: Lab,
  vmId: number,
  config: GuestConfig,
  values: VmConfig,
  context: TaskContext,
): Promise<VmConfig> {
  const known = pendingView(config);
  const wanted = Object.fromEntries(
    Object.entries(values).map(([key, value]) => {
      const old = known[key];
      const sameCloudInit = isDriveKey(key) && old !== undefined && isCloudInitDrive(value) && isCloudInitDrive(old);
      return [key, sameCloudInit && value.includes(":cloudinit") && sameStorage(value, old) ? old : value];
    }),
  );
  return (await makeDrives(lab.volumes, vmId, wanted, context)).values;
}

function sameStorage(left: string, right: string): boolean {
  const storage = (text: string): string | undefined => /^(?:file=|volume=)?([^:,]+):/.exec(text)?.[1];
  return storage(left) === storage(right);
}

function pick(values: VmConfig, wanted: (key: string) => boolean): VmConfig {
  return Object.fromEntries(Object.entries(values).filter(([key]) => wanted(key)));
}
