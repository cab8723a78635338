/**
 * The texts on a VM's cloud-init drive, byte for byte as Proxmox VE writes them for a Linux guest (NoCloud).
 * Source: PVE/QemuServer/Cloudinit.pm of qemu-server (cloudinit_userdata, nocloud_network, nocloud_gen_metadata).
 *
 * The instance id is the hash of the other texts: a new name, address or MAC makes cloud-init in the guest run its per-instance
 * modules again.
 */
import { createHash } from "node:crypto";

import { parsePropertyString } from "../../pve/property-string";
import { networkKeys, parseNetworkCard } from "../../pve/vm-config";
import type { VmConfig } from "../types";

/** The node's own resolver settings, which a VM without `nameserver` and `searchdomain` gets. */
export interface NodeDns {
  readonly servers: readonly string[];
  readonly search: readonly string[];
}

/** Files of a cloud-init drive by name. `user-data` may hold a password hash. */
export interface CloudInitFiles {
  readonly "user-data": string;
  readonly "network-config": string;
  readonly "meta-data": string;
  readonly "vendor-data": string;
}

/** All files of the drive. Throws for a drive kind that the lab doesn't make. */
export function cloudInitFiles(vmId: number, config: VmConfig, dns: NodeDns): CloudInitFiles {
  const kind = config.citype ?? (/^w(?:xp|2k|vista|in)/.test(config.ostype ?? "") ? "configdrive2" : "nocloud");
  if (kind !== "nocloud") {
    throw new Error(
      `Unable to make the cloud-init drive of VM ${vmId}: the lab makes no drive of kind "${kind}". Use citype=nocloud with a Linux ostype.`,
    );
  }
  if (config.cicustom !== undefined) {
    throw new Error(
      `Unable to make the cloud-init drive of VM ${vmId}: the lab has no snippets, so cicustom "${config.cicustom}" can't be read. Remove cicustom.`,
    );
  }
  const userData = cloudInitUserData(vmId, config);
  const networkConfig = cloudInitNetworkConfig(config, dns);
  return {
    "user-data": userData,
    "network-config": networkConfig,
    "meta-data": cloudInitMetaData(userData, networkConfig),
    "vendor-data": "",
  };
}

/** What `GET …/cloudinit/dump?type=user` shows. Contains `cipassword` as it stands in the configuration (a hash). */
export function cloudInitUserData(vmId: number, config: VmConfig): string {
  const name = config.name ?? `VM${vmId}`;
  const hostname = name.replace(/\..*$/, "");
  const fqdn = name.includes(".") || !config.searchdomain ? name : `${name}.${config.searchdomain}`;
  const user = config.ciuser;
  const lines = ["#cloud-config", `hostname: ${hostname}`, "manage_etc_hosts: true", `fqdn: ${fqdn}`];
  if (user !== undefined) lines.push(`user: ${user}`);
  if (user === "root") lines.push("disable_root: False");
  if (config.cipassword !== undefined) lines.push(`password: ${config.cipassword}`);
  if (config.sshkeys !== undefined) {
    const keys = decodeURIComponent(config.sshkeys).split("\n");
    lines.push("ssh_authorized_keys:", ...keys.filter((key) => key.trim() !== "").map((key) => `  - ${key}`));
  }
  lines.push("chpasswd:", "  expire: False");
  if (user !== "root") lines.push("users:", "  - default");
  if ((config.ciupgrade ?? "1") !== "0") lines.push("package_upgrade: true");
  return `${lines.join("\n")}\n`;
}

/** What `GET …/cloudinit/dump?type=network` shows: cloud-init's network configuration, version 1. */
export function cloudInitNetworkConfig(config: VmConfig, dns: NodeDns): string {
  const lines = ["version: 1", "config:"];
  for (const key of networkKeys(config).sort()) {
    const index = key.slice("net".length);
    const addresses = config[`ipconfig${index}`];
    const card = config[key];
    if (!addresses || card === undefined) continue;
    const mac = parseNetworkCard(card).macAddress;
    if (mac === undefined) throw new Error(`network interface '${key}' has no mac address`);
    lines.push("    - type: physical", `      name: eth${index}`, `      mac_address: '${mac.toLowerCase()}'`);
    lines.push("      subnets:", ...subnets(addresses).map((line) => `      ${line}`));
  }
  const servers = config.nameserver?.split(/\s+/) ?? dns.servers;
  const search = config.searchdomain?.split(/\s+/) ?? dns.search;
  // PVE always has its node's resolver to write here. An entry without an address is one that cloud-init refuses.
  if (servers.length + search.length > 0) {
    lines.push("    - type: nameserver");
    if (servers.length > 0) lines.push("      address:", ...servers.map((server) => `      - '${server}'`));
    if (search.length > 0) lines.push("      search:", ...search.map((domain) => `      - '${domain}'`));
  }
  return `${lines.join("\n")}\n`;
}

/** What `GET …/cloudinit/dump?type=meta` shows. */
export function cloudInitMetaData(userData: string, networkConfig: string): string {
  return `instance-id: ${createHash("sha1").update(userData).update(networkConfig).digest("hex")}\n`;
}

function subnets(ipconfig: string): string[] {
  const { ip, gw, ip6, gw6 } = parsePropertyString(ipconfig) as Partial<Record<string, string>>;
  const lines: string[] = [];
  if (ip === "dhcp") {
    lines.push("- type: dhcp4");
  } else if (ip !== undefined) {
    const [address = "", prefix] = ip.split("/");
    if (prefix === undefined) throw new Error(`not a CIDR: ${ip}`);
    lines.push("- type: static", `  address: '${address}'`, `  netmask: '${netmask(Number(prefix))}'`);
    if (gw !== undefined) lines.push(`  gateway: '${gw}'`);
  }
  if (ip6 === "dhcp") {
    lines.push("- type: dhcp6");
  } else if (ip6 === "auto") {
    lines.push("- type: ipv6_slaac");
  } else if (ip6 !== undefined) {
    lines.push("- type: static6", `  address: '${ip6}'`);
    if (gw6 !== undefined) lines.push(`  gateway: '${gw6}'`);
  }
  return lines;
}

function netmask(prefix: number): string {
  const bits = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}
