/** PVE `/cluster/resources`: what is where in the cluster. */
import { z } from "zod";
import type { PveClient } from "../client";
import { PveAlreadyExists, PveParameterError } from "../errors";
import { pveNumber } from "../wire";

const guestSchema = z.object({
  vmid: pveNumber,
  node: z.string(),
  type: z.enum(["qemu", "lxc"]),
  name: z.string().optional(),
  status: z.string().optional(),
  /** Pool that it is in, where the token has Pool.Audit on that. */
  pool: z.string().optional(),
});
export type ClusterGuest = z.infer<typeof guestSchema>;

/** All guests of the cluster that the token can see. Needs VM.Audit on each; PVE leaves the others out silently. */
export async function clusterGuests(client: PveClient): Promise<ClusterGuest[]> {
  return client.get("/cluster/resources", z.array(guestSchema), { type: "vm" });
}

/** The guest with this VMID anywhere in the cluster; undefined if there is none that the token can see. */
export async function findGuest(client: PveClient, vmId: number): Promise<ClusterGuest | undefined> {
  return (await clusterGuests(client)).find((guest) => guest.vmid === vmId);
}

/** Whether a VMID is free. PVE knows guests that the token can't see. */
export async function isVmIdFree(client: PveClient, vmId: number): Promise<boolean> {
  try {
    await client.get("/cluster/nextid", z.unknown(), { vmid: vmId });
    return true;
  } catch (error) {
    if (error instanceof PveAlreadyExists || (error instanceof PveParameterError && "vmid" in error.errors))
      return false;
    throw error;
  }
}
