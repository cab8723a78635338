/**
 * Pools carry the token's rights on a VM: Proxmox takes what was granted on the VM itself away with the VM, and a pool gives its
 * rights to whatever VM joins it.
 */
import { ownPrivileges } from "../pve/access/permissions";
import type { PveClient } from "../pve/client";
import { findGuest, isVmIdFree } from "../pve/cluster/resources";
import { PveNotFound, PvePermissionDenied } from "../pve/errors";
import { lookAtPool } from "../pve/pools";

const REMEDY = 'Run the script that "npm run homelab -- roles" prints, as root on a Proxmox node.';

/** @throws Error when VMs can't be made in the pool: it is not there, or the token lacks the rights. Changes nothing. */
export async function requirePool(client: PveClient, pool: string): Promise<void> {
  const subject = `Unable to use pool "${pool}"`;
  try {
    await lookAtPool(client, pool);
  } catch (error) {
    if (error instanceof PveNotFound) throw new Error(`${subject}: there is no such pool. ${REMEDY}`, { cause: error });
    if (error instanceof PvePermissionDenied) {
      throw new Error(`${subject}: the token may not see it. ${REMEDY}`, { cause: error });
    }
    throw error;
  }
  if ((await ownPrivileges(client, `/pool/${pool}`)).has("VM.Allocate")) return;
  throw new Error(`${subject}: the token may not make VMs in it. ${REMEDY}`);
}

/**
 * Whether production's VM can be made in its pool, or is in it already. Gives what is amiss with a VM that stands: nothing today, but
 * after its loss the token could not bring it back.
 *
 * @throws Error when the VM is missing and can't be made.
 */
export async function productionPoolProblem(
  client: PveClient,
  { vmId, pool }: { readonly vmId: number; readonly pool: string },
): Promise<string | undefined> {
  const guest = await findGuest(client, vmId);
  if (guest === undefined) {
    if (await isVmIdFree(client, vmId)) await requireToMake(client, vmId, pool);
    return undefined;
  }
  if (guest.pool === pool) return undefined;
  const where = guest.pool === undefined ? "in none that the token can see" : `in pool "${guest.pool}"`;
  const other =
    guest.pool === undefined ? "" : ` If it is to stay there, name that pool in homelab:dockerVm.pool first.`;
  return (
    `VM ${vmId} is not in pool "${pool}" (homelab:dockerVm.pool), but ${where}: after its loss the token could not restore it, ` +
    `because Proxmox takes rights on a VM away with it.${other} ${REMEDY}`
  );
}

/** Tags of a new VM take a right on the VM itself, which only a pool can give that names it already. */
async function requireToMake(client: PveClient, vmId: number, pool: string): Promise<void> {
  await requirePool(client, pool);
  if ((await ownPrivileges(client, `/vms/${vmId}`)).has("VM.Config.Options")) return;
  throw new Error(
    `Unable to make VM ${vmId} in pool "${pool}": the pool does not name it, as after the loss of the VM. ${REMEDY}`,
  );
}
