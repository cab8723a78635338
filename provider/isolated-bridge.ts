/** Whether a bridge isolates: from the node's interfaces, pure, and from the guests that are attached to it. */
import { blindSpots } from "../pve/access/permissions";
import type { PveClient } from "../pve/client";
import { type ClusterGuest, clusterGuests } from "../pve/cluster/resources";
import { PveNotFound } from "../pve/errors";
import { containerConfig } from "../pve/nodes/lxc";
import { type NodeInterface, type NodeNetwork, nodeNetwork } from "../pve/nodes/network";
import { vmConfig } from "../pve/nodes/qemu";
import { parsePropertyString } from "../pve/property-string";
import { networkKeys } from "../pve/vm-config";

/** Where Proxmox keeps the rights on the bridges of its nodes; it lists only those that the token may see. */
const BRIDGES = "/sdn/zones/localnetwork";

/** Guests whose configurations are read side by side. */
const LOOKS_AT_ONCE = 8;

/** Why a bridge does not isolate what is attached to it, as the node declares it; nothing if it does. */
export function isolationProblems({ interfaces, unappliedChanges }: NodeNetwork, name: string): string[] {
  const pending = unappliedChanges.trim() === "" ? [] : ["the node has network changes that are not applied yet"];
  const bridge = interfaces.find(({ iface }) => iface === name);
  if (bridge === undefined) return [missingText(name), ...pending];
  const problems: string[] = [];
  if (bridge.active !== true) problems.push("it is declared, but not active");
  if (bridge.type !== "bridge" && bridge.type !== "OVSBridge") problems.push(`it is no bridge but ${bridge.type}`);
  const ports = portsOf(bridge);
  if (ports.length > 0) problems.push(`it has the port ${ports.join(" ")}`);
  const addresses = [bridge.cidr ?? bridge.address, bridge.cidr6 ?? bridge.address6].filter(
    (text) => text !== undefined,
  );
  if (addresses.length > 0) problems.push(`it has the address ${addresses.join(", ")}`);
  for (const method of [bridge.method, bridge.method6]) {
    if (method === "dhcp" || method === "auto") problems.push(`it gets an address by ${method}`);
  }
  const ovsPorts = interfaces.filter(({ ovs_bridge }) => ovs_bridge === name).map(({ iface }) => iface);
  const unlisted = ovsPorts.filter((port) => !ports.includes(port));
  if (unlisted.length > 0) problems.push(`it has the Open vSwitch port ${unlisted.join(", ")}`);
  const vlans = interfaces
    .filter((item) => item.iface.startsWith(`${name}.`) || item["vlan-raw-device"] === name)
    .map(({ iface }) => iface);
  if (vlans.length > 0) problems.push(`it has the VLAN interface ${vlans.join(", ")}`);
  const above = interfaces.filter((item) => item.iface !== name && portsOf(item).includes(name));
  if (above.length > 0) problems.push(`it is a port of ${above.map(({ iface }) => iface).join(", ")}`);
  return [...problems, ...pending];
}

/** PVE leaves bridges out that the token may not use. Source: pve-manager `PVE/API2/Network.pm`, `index`. */
function missingText(name: string): string {
  return (
    "it does not exist, or the token may not use it and Proxmox leaves it out " +
    `(then grant SDN.Use on /sdn/zones/localnetwork/${name})`
  );
}

function portsOf({ bridge_ports, ovs_ports }: NodeInterface): string[] {
  return `${bridge_ports ?? ""} ${ovs_ports ?? ""}`.split(/\s+/).filter((port) => port !== "" && port !== "none");
}

/**
 * Everything that keeps a bridge of a node from isolating, other guests on it included, running or not: one that routes would
 * be a way out.
 */
export async function problemsOfBridge(
  client: PveClient,
  { node, name, ownVmId }: { readonly node: string; readonly name: string; readonly ownVmId: number },
): Promise<string[]> {
  const [network, neighbours, unseen] = await Promise.all([
    nodeNetwork(client, node),
    neighboursOn(client, { node, name, ownVmId }),
    blindSpots(client, BRIDGES, (privileges) => privileges.has("SDN.Audit") || privileges.has("SDN.Use")),
  ]);
  const above =
    unseen.length === 0
      ? []
      : [
          `whether it is a port of another bridge can't be told, because the token lacks SDN.Audit on ${unseen.join(", ")}`,
        ];
  return [...isolationProblems(network, name), ...above, ...neighbours];
}

/** @throws Error that says everything that keeps the bridge from isolating. Changes nothing. */
export async function requireIsolation(
  client: PveClient,
  bridge: { readonly node: string; readonly name: string; readonly ownVmId: number },
): Promise<void> {
  const problems = await problemsOfBridge(client, bridge);
  if (problems.length === 0) return;
  throw new Error(
    `Unable to restore into bridge ${bridge.name} of node ${bridge.node}: ${problems.join("; ")}. ` +
      "A drill needs a bridge without ports, addresses and other guests: make one by hand, and apply the node's changes.",
  );
}

async function neighboursOn(
  client: PveClient,
  { node, name, ownVmId }: { readonly node: string; readonly name: string; readonly ownVmId: number },
): Promise<string[]> {
  const unseen = await blindSpots(client, "/vms", (privileges) => privileges.has("VM.Audit"));
  if (unseen.length > 0) {
    return [`whether other guests are on it can't be told, because the token lacks VM.Audit on ${unseen.join(", ")}`];
  }
  const guests = (await clusterGuests(client)).filter((guest) => guest.node === node && guest.vmid !== ownVmId);
  const problems: (string | undefined)[] = [];
  const waiting = [...guests.entries()];
  // A few at once: a node has dozens of guests, each look is one or two calls, and every second counts in an RTO.
  const look = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, guest] = next;
      const configs = await configsOf(client, guest);
      if (!configs.some((config) => isAttachedTo(config, name))) continue;
      const kind = guest.type === "lxc" ? "container" : "VM";
      problems[index] = `${kind} ${guest.vmid} (${guest.name ?? "without a name"}) is on it`;
    }
  };
  await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, look));
  return problems.filter((problem) => problem !== undefined);
}

/** A guest's configuration as it will be and, where they may differ, as it runs. None of a guest that has just gone. */
async function configsOf(client: PveClient, { node, vmid, type, status }: ClusterGuest): Promise<Config[]> {
  try {
    if (type === "lxc") return [await containerConfig(client, node, vmid)];
    const declared = await vmConfig(client, node, vmid);
    return status === "running" ? [declared, await vmConfig(client, node, vmid, { current: true })] : [declared];
  } catch (error) {
    if (error instanceof PveNotFound) return [];
    throw error;
  }
}

type Config = Readonly<Record<string, string>>;

function isAttachedTo(config: Config, bridge: string): boolean {
  return networkKeys(config).some((key) => parsePropertyString(config[key] ?? "", "model")["bridge"] === bridge);
}
