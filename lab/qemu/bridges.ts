/** Linux bridges of the lab's nodes, in the network namespace that the lab runs in. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A bridge to make: name, and the addresses with prefix that the lab's host carries on it (none: an isolated bridge). */
export interface Bridge {
  readonly name: string;
  readonly addresses: readonly string[];
  /** The addresses are in this VLAN of the bridge; absent: untagged. */
  readonly vlanId?: number | undefined;
}

/**
 * The bridge of one VLAN. PVE makes one of this name too, where a bridge is not VLAN-aware (PVE::Network
 * `activate_bridge_vlan`): cards with the same tag meet there, and no others.
 */
function vlanBridge(bridge: string, vlanId: number | undefined): string {
  return vlanId === undefined ? bridge : `${bridge}v${vlanId}`;
}

/**
 * Makes the bridges and gives them exactly their addresses. Bridges that are there already are kept, with what is plugged in.
 *
 * An isolated bridge has no address of any kind, not even a link-local one: nothing of the host answers on it.
 */
export async function setUpBridges(bridges: readonly Bridge[]): Promise<void> {
  for (const { name, addresses, vlanId } of bridges) {
    if (vlanId !== undefined) await setUpBridge(name, []);
    await setUpBridge(vlanBridge(name, vlanId), addresses);
  }
}

async function setUpBridge(name: string, addresses: readonly string[]): Promise<void> {
  if (!(await linkExists(name))) {
    try {
      // Without forwarding delay a new port carries traffic at once.
      await ip("link", "add", "name", name, "type", "bridge", "forward_delay", "0", "stp_state", "0");
    } catch (error) {
      // Another machine's first card in the same VLAN was quicker.
      if (!(await linkExists(name))) throw error;
    }
  }
  // Set before `up`, as the link-local address comes with it. No router solicitations from the lab's host either.
  await ip("link", "set", "dev", name, "addrgenmode", addresses.length === 0 ? "none" : "eui64");
  await ip("link", "set", "dev", name, "up");
  // As systemd sets it on a Debian node (50-default.conf). With 0 the host would answer ARP for its other bridges' addresses
  // on one that has none.
  await writeFile(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, "2");
  const wanted = addresses.map(asKernelPrints);
  const present = await addressesOf(name);
  for (const address of wanted.filter((one) => !present.includes(one))) {
    // Nobody else is there who could have the address: without the look for duplicates IPv6 can be used at once.
    await ip("address", "replace", address, "dev", name, ...(address.includes(":") ? ["nodad"] : []));
  }
  for (const address of present.filter((found) => !wanted.includes(found))) {
    await ip("address", "del", address, "dev", name);
  }
}

/** An address with prefix in the one spelling that the kernel uses (RFC 5952 for IPv6). */
function asKernelPrints(cidr: string): string {
  const [address = "", prefix = ""] = cidr.split("/");
  if (!address.includes(":")) return cidr;
  return `${new URL(`http://[${address}]`).hostname.slice(1, -1)}/${prefix}`;
}

/** Plugs QEMU's tap device into a bridge, or into one VLAN of it. Throws PVE's text for a missing bridge. */
export async function plugTap(tap: string, bridge: string, vlanId?: number): Promise<void> {
  await assertBridge(bridge);
  const target = vlanBridge(bridge, vlanId);
  if (!(await linkExists(target))) await setUpBridge(target, []);
  // The host must not speak on the guest's cable.
  await ip("link", "set", "dev", tap, "addrgenmode", "none");
  await ip("link", "set", "dev", tap, "master", target, "up");
}

/** Throws PVE's text for a missing bridge. */
export async function assertBridge(bridge: string): Promise<void> {
  if (!(await linkExists(bridge))) throw new Error(`bridge '${bridge}' does not exist`);
}

async function linkExists(name: string): Promise<boolean> {
  const { stdout } = await run("ip", ["-json", "link", "show"]);
  return (JSON.parse(stdout) as { ifname?: string }[]).some(({ ifname }) => ifname === name);
}

/** Global addresses of an interface, as `address/prefix`. */
async function addressesOf(name: string): Promise<string[]> {
  const { stdout } = await run("ip", ["-json", "address", "show", "dev", name, "scope", "global"]);
  // Addresses of other scopes are left in the list as empty objects.
  const links = JSON.parse(stdout) as { addr_info?: { local?: string; prefixlen?: number }[] }[];
  return links.flatMap(({ addr_info = [] }) =>
    addr_info.flatMap(({ local, prefixlen }) => (local === undefined ? [] : [`${local}/${prefixlen ?? 32}`])),
  );
}

async function ip(...args: string[]): Promise<void> {
  try {
    await run("ip", args);
  } catch (cause) {
    const { stderr } = cause as { stderr?: string };
    throw new Error(
      `Unable to set up the lab's network: "ip ${args.join(" ")}" failed: ${stderr?.trim() ?? String(cause)}. ` +
        "The lab needs root in a network namespace of its own.",
      { cause },
    );
  }
}
