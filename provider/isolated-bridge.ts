/** Whether a bridge isolates: pure, from the node's interfaces. */
import type { NodeInterface } from "../pve/nodes/network";

/** Why a bridge does not isolate what is attached to it; nothing if it does. */
export function isolationProblems(interfaces: readonly NodeInterface[], name: string): string[] {
  const bridge = interfaces.find(({ iface }) => iface === name);
  if (bridge === undefined) return ["it does not exist"];
  const problems: string[] = [];
  if (bridge.type !== "bridge" && bridge.type !== "OVSBridge") problems.push(`it is no bridge but ${bridge.type}`);
  const ports = (bridge.bridge_ports ?? bridge.ovs_ports ?? "").trim();
  if (ports !== "" && ports !== "none") problems.push(`it has the port ${ports}`);
  const addresses = [bridge.cidr ?? bridge.address, bridge.cidr6 ?? bridge.address6].filter(
    (text) => text !== undefined,
  );
  if (addresses.length > 0) problems.push(`it has the address ${addresses.join(", ")}`);
  for (const method of [bridge.method, bridge.method6]) {
    if (method === "dhcp" || method === "auto") problems.push(`it gets an address by ${method}`);
  }
  const vlans = interfaces.filter(({ iface }) => iface.startsWith(`${name}.`)).map(({ iface }) => iface);
  if (vlans.length > 0) problems.push(`it has the VLAN interface ${vlans.join(", ")}`);
  return problems;
}
