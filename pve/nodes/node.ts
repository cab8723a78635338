/** PVE `/nodes/{node}/status` and `…/time`: what a node has and what its clock says. */
import { z } from "zod";
import { type CallOptions, type PveClient, pvePath } from "../client";
import { pveNumber } from "../wire";

const statusSchema = z.object({
  memory: z.object({ total: pveNumber, used: pveNumber, free: pveNumber, available: pveNumber.optional() }),
});

/** Memory of a node in bytes. */
export interface NodeMemory {
  readonly total: number;
  /** What programs can still take; older versions do not tell it, then what is free. */
  readonly available: number;
}

/** Memory of a node. Needs Sys.Audit on the node. */
export async function nodeMemory(client: PveClient, node: string): Promise<NodeMemory> {
  const { memory } = await client.get(pvePath`/nodes/${node}/status`, statusSchema);
  return { total: memory.total, available: memory.available ?? memory.free };
}

const timeSchema = z.object({ time: pveNumber });

/** The node's clock, seconds since the epoch, whole seconds. Needs Sys.Audit on the node. */
export async function nodeTime(client: PveClient, node: string, options?: CallOptions): Promise<number> {
  return (await client.get(pvePath`/nodes/${node}/time`, timeSchema, {}, options)).time;
}
