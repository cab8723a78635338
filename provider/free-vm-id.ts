/** Whether a run's VMID is free: of guests anywhere, and of disks, because `destroy` frees disks by their name. */
import { blindSpots, ownPrivileges } from "../pve/access/permissions";
import type { PveClient } from "../pve/client";
import { findGuest, isVmIdFree } from "../pve/cluster/resources";
import { imagesOf, nodeStorages } from "../pve/nodes/storage";

/** Where a run is to be. */
export interface RunPlace {
  readonly node: string;
  readonly vmId: number;
}

/** Disks that are named after a VMID. */
export interface FoundVolumes {
  readonly volumes: string[];
  /** Why there may be more; empty: all were seen. */
  readonly doubts: string[];
}

/**
 * Disks of a VMID on all storages of a node.
 *
 * Source: pve-storage `PVE::Storage::vdisk_list` is what `destroy-unreferenced-disks` looks through, and it also sees what the
 * token may not see.
 */
export async function volumesOf(client: PveClient, { node, vmId }: RunPlace): Promise<FoundVolumes> {
  const [unseen, onVm, storages] = await Promise.all([
    blindSpots(client, "/storage", (privileges) => privileges.has("Datastore.Audit")),
    ownPrivileges(client, `/vms/${vmId}`),
    nodeStorages(client, node),
  ]);
  const doubts: string[] = [];
  if (unseen.length > 0) doubts.push(`the token lacks Datastore.Audit on ${unseen.join(", ")}`);
  if (!onVm.has("VM.Config.Disk")) doubts.push(`the token lacks VM.Config.Disk on /vms/${vmId}`);
  const volumes: string[] = [];
  for (const { storage, content, active } of storages) {
    if (!content.split(",").includes("images")) continue;
    if (!active) doubts.push(`storage ${storage} is offline`);
    else volumes.push(...(await imagesOf(client, node, storage, vmId)));
  }
  return { volumes, doubts };
}

/**
 * Makes sure that nothing that the token sees has the VMID. Disks that it can't see yet are looked for again when the run has made its
 * VM.
 *
 * @throws Error that names the guest or the disks.
 */
export async function requireFree(client: PveClient, place: RunPlace): Promise<void> {
  const { node, vmId } = place;
  const guest = await findGuest(client, vmId);
  if (guest !== undefined || !(await isVmIdFree(client, vmId))) {
    const who =
      guest === undefined
        ? "a guest that the token can't see"
        : `${guest.type === "lxc" ? "container" : "VM"} "${guest.name ?? ""}" on ${guest.node}`;
    throw new Error(
      `Unable to begin a run with VM ${vmId} on ${node}: the VMID is taken by ${who}. ` +
        "Remove it if it is left over from a drill, or configure another VMID for drills.",
    );
  }
  const { volumes } = await volumesOf(client, place);
  if (volumes.length > 0) throw foundDisks(place, volumes);
}

/** Disks that stand in the way of a drill. */
export function foundDisks({ node, vmId }: RunPlace, volumes: readonly string[]): Error {
  return new Error(
    `Unable to begin a run with VM ${vmId} on ${node}: there are disks of this VMID without a VM: ${volumes.join(", ")}. ` +
      "Remove them if they are left over from a drill (pvesm free <volume>), or configure another VMID for drills.",
  );
}
