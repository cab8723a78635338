/** PVE `/nodes/{node}/qemu`: configuration, life cycle and restore of VMs. */
import { z } from "zod";
import { type CallOptions, type PveClient, type PveParameters, pvePath } from "../client";
import { pveBoolean, pveNumber, upidText } from "../wire";

/** A VM's configuration as the API answers it; values as text whatever their JSON type. */
const configSchema = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
  .transform((config) =>
    Object.fromEntries(
      Object.entries(config).map(([key, value]): [string, string] => [
        key,
        typeof value === "boolean" ? (value ? "1" : "0") : String(value),
      ]),
    ),
  );

const statusSchema = z.object({
  status: z.enum(["running", "stopped"]),
  name: z.string().optional(),
  /** Present while a task holds the VM, e.g. `create` during a restore. */
  lock: z.string().optional(),
  qmpstatus: z.string().optional(),
  uptime: pveNumber.optional(),
  /** Whether the HA manager keeps the VM running. */
  ha: z.object({ managed: pveBoolean }).optional(),
});
export type VmStatus = z.infer<typeof statusSchema>;

/** Configuration with pending changes applied, or as the VM runs with `current`. @throws PveNotFound */
export async function vmConfig(
  client: PveClient,
  node: string,
  vmId: number,
  { current }: { readonly current?: boolean } = {},
): Promise<Record<string, string>> {
  return client.get(pvePath`/nodes/${node}/qemu/${vmId}/config`, configSchema, { current });
}

/** Whether the VM runs. @throws PveNotFound */
export async function vmStatus(
  client: PveClient,
  node: string,
  vmId: number,
  options?: CallOptions,
): Promise<VmStatus> {
  return client.get(pvePath`/nodes/${node}/qemu/${vmId}/status/current`, statusSchema, {}, options);
}

/** Parameters of a new VM: its VMID, and keys of its configuration. */
export type CreateParameters = PveParameters & {
  readonly vmid: number;
  /** Pool that it joins. */
  readonly pool: string;
};

/** Makes a VM without an archive and gives the task's UPID. The VM is visible at once, with the lock `create`. */
export async function createVm(client: PveClient, node: string, parameters: CreateParameters): Promise<string> {
  return client.post(pvePath`/nodes/${node}/qemu`, upidText, parameters);
}

/** Parameters of a restore. Every further configuration key replaces the archive's. */
export type RestoreParameters = CreateParameters & {
  /** Volume id of the archive. */
  readonly archive: string;
};

/** Starts a restore and gives the task's UPID. The VM is visible at once, with the lock `create`. */
export async function restoreVm(client: PveClient, node: string, parameters: RestoreParameters): Promise<string> {
  return client.post(pvePath`/nodes/${node}/qemu`, upidText, parameters);
}

/** Starts a VM and gives the task's UPID. `timeoutSeconds` limits QEMU's start, not the guest's. */
export async function startVm(client: PveClient, node: string, vmId: number, timeoutSeconds?: number): Promise<string> {
  return client.post(pvePath`/nodes/${node}/qemu/${vmId}/status/start`, upidText, { timeout: timeoutSeconds });
}

/** Ends a VM at once and gives the task's UPID. */
export async function stopVm(client: PveClient, node: string, vmId: number): Promise<string> {
  return client.post(pvePath`/nodes/${node}/qemu/${vmId}/status/stop`, upidText);
}

/** Sets configuration keys synchronously. */
export async function updateVm(client: PveClient, node: string, vmId: number, changes: PveParameters): Promise<void> {
  await client.put(pvePath`/nodes/${node}/qemu/${vmId}/config`, z.unknown(), changes);
}

/**
 * Deletes a stopped VM with its disks and gives the task's UPID. With `unreferencedDisks`, every disk volume named after the
 * VMID goes too, on every enabled storage, whoever made it. Backup jobs keep what they say of the VMID: a purge would take it
 * out of what they leave out as well, and the next VM of this id would be backed up.
 *
 * Source: pve-manager `PVE::VZDump::Plugin::remove_vmid_from_job`.
 */
export async function destroyVm(
  client: PveClient,
  node: string,
  vmId: number,
  { unreferencedDisks }: { readonly unreferencedDisks: boolean },
): Promise<string> {
  const query = { "destroy-unreferenced-disks": unreferencedDisks };
  return client.delete(pvePath`/nodes/${node}/qemu/${vmId}`, upidText, query);
}

/** A disk on its way from one VM to another of the same node. */
export interface DiskMove {
  /** Configuration key, `unusedN` included; the disk gets the same one there. */
  readonly disk: string;
  readonly targetVmId: number;
  /** Digest of the configuration that was looked at: the move is refused if it was changed since. */
  readonly digest: string | undefined;
}

/**
 * Gives a disk of a stopped VM to another one and gives the task's UPID. The volume is renamed, never copied; the protection
 * flags of both are not looked at.
 *
 * Source: qemu-server `PVE::API2::Qemu` `move_vm_disk`, `$disk_reassignfn`.
 */
export async function reassignDisk(
  client: PveClient,
  node: string,
  vmId: number,
  { disk, targetVmId, digest }: DiskMove,
): Promise<string> {
  const parameters = { disk, "target-vmid": targetVmId, "target-disk": disk, digest };
  return client.post(pvePath`/nodes/${node}/qemu/${vmId}/move_disk`, upidText, parameters);
}

/** Names of a VM's snapshots. @throws PveNotFound */
export async function snapshotNames(client: PveClient, node: string, vmId: number): Promise<string[]> {
  const list = await client.get(pvePath`/nodes/${node}/qemu/${vmId}/snapshot`, z.array(z.object({ name: z.string() })));
  return list.map(({ name }) => name).filter((name) => name !== "current");
}
