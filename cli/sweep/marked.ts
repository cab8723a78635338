/** Which VMs of the cluster carry a mark, as far as the token sees. */
import { markOn } from "../../provider/ownership";
import { blindSpots } from "../../pve/access/permissions";
import type { PveClient } from "../../pve/client";
import { type ClusterGuest, clusterGuests } from "../../pve/cluster/resources";
import { PveNotFound } from "../../pve/errors";
import { vmConfig } from "../../pve/nodes/qemu";
import type { MarkedVm } from "./fate";

/** Configurations that are read side by side. */
const LOOKS_AT_ONCE = 8;

/** What a look around the cluster gave. */
export interface MarkedVms {
  readonly marked: readonly MarkedVm[];
  /** What stands at the VMID of drills without a mark; undefined where nothing does. */
  readonly unmarked: ClusterGuest | undefined;
  /** Paths at which VMs may be that the token can't see. */
  readonly unseen: readonly string[];
}

/** Looks at every VM of the cluster, and at whatever has the VMID of drills. */
export async function markedVms(client: PveClient, drillVmId: number): Promise<MarkedVms> {
  const [guests, unseen] = await Promise.all([
    clusterGuests(client),
    blindSpots(client, "/vms", (privileges) => privileges.has("VM.Audit")),
  ]);
  const marked: MarkedVm[] = [];
  const waiting = guests.filter(({ type }) => type === "qemu");
  const look = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const vm = await markedVm(client, next.node, next.vmid);
      if (vm !== undefined) marked.push(vm);
    }
  };
  await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, look));
  const isUnmarked = !marked.some(({ vmId }) => vmId === drillVmId);
  return {
    marked: marked.sort((left, right) => left.vmId - right.vmId),
    unmarked: isUnmarked ? guests.find(({ vmid }) => vmid === drillVmId) : undefined,
    unseen,
  };
}

/** Undefined for a VM that carries no mark or has just gone. */
export async function markedVm(client: PveClient, node: string, vmId: number): Promise<MarkedVm | undefined> {
  try {
    const config = await vmConfig(client, node, vmId);
    const mark = markOn(config);
    return mark === undefined ? undefined : { vmId, node, mark, config };
  } catch (error) {
    if (error instanceof PveNotFound) return undefined;
    throw error;
  }
}
