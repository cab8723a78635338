/** `/nodes/{node}/network`: the bridges of the lab, read only. */
import { checkNode, type Lab } from "../../context";
import { parameterError } from "../../errors";
import { nodeParameter, optional, string } from "../../params";
import { all, EVERYBODY } from "../../privileges/permission-check";
import { handler } from "../../router";

export const networkHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/network",
    permissions: EVERYBODY,
    parameters: { node: nodeParameter, type: optional(string()) },
    returns: "array",
    handle: ({ lab, access, params }) => {
      checkNode(lab, params.node);
      if (params.type !== undefined && !["bridge", "any_bridge", "any_local_bridge"].includes(params.type)) return [];
      return lab.spec.bridges
        .map(({ name }, index) => ({ ...bridge(lab, name), iface: name, priority: index + 3 }))
        .filter(({ iface }) => access.hasAny(`/sdn/zones/localnetwork/${iface}`, "SDN.Audit", "SDN.Use"));
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/network/{iface}",
    permissions: all("/nodes/{node}", "Sys.Audit"),
    parameters: { node: nodeParameter, iface: string({ maxLength: 20 }) },
    returns: "object",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      if (!lab.spec.bridges.some(({ name }) => name === params.iface))
        throw parameterError({ iface: "interface does not exist" });
      return bridge(lab, params.iface);
    },
  }),
];

/** A bridge as `/etc/network/interfaces` would declare it: guests are no ports of the declaration. */
function bridge(lab: Lab, name: string): Record<string, unknown> {
  const { addresses = [], vlanId } = lab.spec.bridges.find((one) => one.name === name) ?? {};
  // Addresses in a VLAN belong to the router behind it, not to the node's bridge.
  const own = vlanId === undefined ? addresses : [];
  const cidr = own.find((one) => !one.includes(":"));
  const cidr6 = own.find((one) => one.includes(":"));
  const [address6, netmask6] = cidr6?.split("/") ?? [];
  const [address, netmask] = cidr?.split("/") ?? [];
  return {
    type: "bridge",
    active: 1,
    autostart: 1,
    exists: 1,
    bridge_ports: "",
    bridge_stp: "off",
    bridge_fd: "0",
    families: cidr6 === undefined ? ["inet"] : ["inet", "inet6"],
    method: cidr === undefined ? "manual" : "static",
    method6: cidr6 === undefined ? "manual" : "static",
    ...(cidr === undefined ? {} : { cidr, address, netmask }),
    ...(cidr6 === undefined ? {} : { cidr6, address6, netmask6 }),
  };
}
