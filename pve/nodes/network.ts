/** PVE `/nodes/{node}/network`: the node's interfaces as configured. */
import { z } from "zod";
import { type PveClient, pvePath } from "../client";
import { pveBoolean, pveNumber } from "../wire";

const interfaceSchema = z.object({
  iface: z.string(),
  type: z.string(),
  /** Whether the node's kernel has it and it is up; PVE leaves the key out where it is not. */
  active: pveBoolean.optional(),
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
  /** On a port, bond or internal port of Open vSwitch: the bridge that it belongs to. */
  ovs_bridge: z.string().optional(),
  /** On a VLAN interface of any name: the interface below it. */
  "vlan-raw-device": z.string().optional(),
  "vlan-id": pveNumber.optional(),
});
export type NodeInterface = z.infer<typeof interfaceSchema>;

/** The network of a node. */
export interface NodeNetwork {
  readonly interfaces: NodeInterface[];
  /** Difference of `/etc/network/interfaces.new` to what is active, as a diff; empty: everything is applied. */
  readonly unappliedChanges: string;
}

/** All interfaces of a node, and what was changed and not applied yet. Needs Sys.Audit on the node. */
export async function nodeNetwork(client: PveClient, node: string): Promise<NodeNetwork> {
  let unappliedChanges = "";
  const interfaces = await client.get(
    pvePath`/nodes/${node}/network`,
    z.array(interfaceSchema),
    {},
    {
      onBody: ({ changes }) => {
        unappliedChanges = typeof changes === "string" ? changes : "";
      },
    },
  );
  return { interfaces, unappliedChanges };
}
