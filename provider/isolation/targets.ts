/** What a restored VM must not reach: gateways, production's VM, the Proxmox API, the outside. */
import { lookup } from "node:dns/promises";
import { BlockList, isIPv6 } from "node:net";
import type { PveClient } from "../../pve/client";
import { findGuest } from "../../pve/cluster/resources";
import { nodeNetwork } from "../../pve/nodes/network";
import { vmConfig } from "../../pve/nodes/qemu";
import { networkKeys, parseNetworkCard } from "../../pve/vm-config";
import type { IsolationControlInputs, ProbeTarget } from "../contract/isolation";
import { messageOf } from "../text";

/** A router is asked as the name server that most are; a refusal is an answer too, and so is its MAC address. */
const GATEWAY_PORT = 53;
const API_PORT = 8006;
const SSH_PORT = 22;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8);
LOOPBACK.addAddress("::1", "ipv6");
LOOPBACK.addAddress("::", "ipv6");
LOOPBACK.addAddress("0.0.0.0");

/** Targets, and why some are missing, one text each. */
export interface FoundTargets {
  readonly targets: ProbeTarget[];
  readonly gaps: string[];
}

/** Finds all targets. Changes nothing, and asks none of them. */
export async function findTargets(client: PveClient, inputs: IsolationControlInputs): Promise<FoundTargets> {
  const gaps: string[] = [];
  const orGap = async (what: string, find: () => Promise<ProbeTarget[]>): Promise<ProbeTarget[]> => {
    try {
      return await find();
    } catch (error) {
      gaps.push(`${what} was not probed: ${messageOf(error)}`);
      return [];
    }
  };
  const [production, api] = await Promise.all([
    orGap("Production's VM", () => productionTargets(client, inputs)),
    orGap("The Proxmox API", () => apiTargets(client, inputs.run.node)),
  ]);
  const gateways = inputs.gateways.map((address) => ({ name: "gateway", address, port: GATEWAY_PORT }));
  const outside = inputs.outside.map((endpoint) => ({ name: "outside", ...endpoint }));
  return { targets: withoutDoubles([...gateways, ...production, ...api, ...outside]), gaps };
}

/**
 * The restored VM has production's own addresses, and would answer itself. The addresses that only production's VM has are
 * those that its kernel makes of its MAC addresses.
 */
async function productionTargets(
  client: PveClient,
  { sourceVmId, ssh: { port = SSH_PORT } }: IsolationControlInputs,
): Promise<ProbeTarget[]> {
  const guest = await findGuest(client, sourceVmId);
  if (guest?.type !== "qemu") throw new Error(`VM ${sourceVmId} does not exist, or the token lacks VM.Audit on it.`);
  const config = await vmConfig(client, guest.node, sourceVmId);
  const cards = networkKeys(config).flatMap((key) => parseNetworkCard(config[key] ?? "").macAddress ?? []);
  if (cards.length === 0) throw new Error(`VM ${sourceVmId} has no network card.`);
  return cards.map((mac) => ({ name: `VM ${sourceVmId}`, address: linkLocalOf(mac), port }));
}

/** Where the API answers this computer; through a tunnel, the node's own addresses. */
async function apiTargets(client: PveClient, node: string): Promise<ProbeTarget[]> {
  const { hostname, port } = new URL(`https://${client.host}`);
  const resolved = await lookup(hostname.replace(/^\[|\]$/g, ""), { all: true }).catch((error: unknown) => {
    throw new Error(`the name ${hostname} has no address here.`, { cause: error });
  });
  // This computer's loopback would be the guest's own there.
  const addresses = resolved
    .map(({ address }) => address)
    .filter((address) => !LOOPBACK.check(address, isIPv6(address) ? "ipv6" : "ipv4"));
  if (addresses.length > 0) {
    return addresses.map((address) => ({ name: "Proxmox API", address, port: port === "" ? 443 : Number(port) }));
  }
  const { interfaces } = await nodeNetwork(client, node);
  const own = interfaces
    .flatMap((one) => [one.cidr ?? one.address, one.cidr6 ?? one.address6])
    .filter((cidr) => cidr !== undefined);
  if (own.length === 0) throw new Error(`${client.host} is a tunnel, and the token sees no address of node ${node}.`);
  return own.map((cidr) => ({ name: "Proxmox API", address: cidr.replace(/\/.*$/, ""), port: API_PORT }));
}

/** The link-local address that Linux makes of a MAC address (RFC 4291, appendix A). @throws Error for anything else */
export function linkLocalOf(mac: string): string {
  const bytes = mac.split(":").map((part) => parseInt(part, 16));
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = bytes;
  if (!/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw new Error(`"${mac}" is no MAC address.`);
  const groups = [
    [a ^ 0x02, b],
    [c, 0xff],
    [0xfe, d],
    [e, f],
  ].map(([high = 0, low = 0]) => ((high << 8) | low).toString(16));
  return new URL(`http://[fe80::${groups.join(":")}]`).hostname.slice(1, -1);
}

function withoutDoubles(targets: readonly ProbeTarget[]): ProbeTarget[] {
  const byEndpoint = new Map(targets.map((target) => [`${target.name} ${target.address} ${target.port}`, target]));
  return [...byEndpoint.values()];
}
