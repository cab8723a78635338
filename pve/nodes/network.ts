/** PVE `/nodes/{node}/network`: the node's interfaces as configured. */
import { z } from "zod";
import { type PveClient, pvePath } from "../client";

const interfaceSchema = z.object({
  iface: z.string(),
  type: z.string(),
  address: z.string().optional(),
  address6: z.string().optional(),
  cidr: z.string().optional(),
  cidr6: z.string().optional(),
  gateway: z.string().optional(),
  gateway6: z.string().optional(),
  /** `static`, `dhcp`, `manual`, … */
  method: z.string().optional(),
  method6: z.string().optional(),
  /** Space separated; empty or absent: none. */
  bridge_ports: z.string().optional(),
  ovs_ports: z.string().optional(),
});
export type NodeInterface = z.infer<typeof interfaceSchema>;

/** All interfaces of a node. Needs Sys.Audit on the node. */
export async function nodeInterfaces(client: PveClient, node: string): Promise<NodeInterface[]> {
  return client.get(pvePath`/nodes/${node}/network`, z.array(interfaceSchema));
}
