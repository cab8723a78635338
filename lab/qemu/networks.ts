/**
 * QEMU's options for a VM's network cards. The tap device is made by QEMU itself and is gone with it, however it ends; the
 * runner plugs it into its bridge before the guest runs.
 */
import { networkKeys, parseNetworkCard } from "../../pve/vm-config";
import type { VmConfig } from "../types";

/** PVE's card models that the lab gives to a guest, and QEMU's devices for them. */
const DEVICES: Partial<Record<string, string>> = {
  virtio: "virtio-net-pci",
  e1000: "e1000",
  e1000e: "e1000e",
  rtl8139: "rtl8139",
  vmxnet3: "vmxnet3",
};

/** A card of a machine that is about to start. */
export interface PlannedCard {
  /** `net0`; also the device's id in QMP. */
  readonly key: string;
  readonly tap: string;
  readonly bridge: string;
  /** VLAN of the bridge; absent: untagged. */
  readonly vlanId?: number;
  readonly linkDown: boolean;
}

export interface NetworkOptions {
  readonly args: string[];
  readonly cards: PlannedCard[];
  readonly notes: string[];
}

/** Options for all cards. Throws for what would need more than a plain bridge. */
export function networkOptions(vmId: number, config: VmConfig): NetworkOptions {
  const args: string[] = [];
  const cards: PlannedCard[] = [];
  const notes: string[] = [];
  for (const key of networkKeys(config)) {
    const { model, macAddress, options } = parseNetworkCard(config[key] ?? "");
    const { bridge, link_down, mtu, tag, trunks, firewall, ...others } = options as Partial<Record<string, string>>;
    const device = DEVICES[model];
    if (!device) throw new Error(`${key} is a "${model}": use one of ${Object.keys(DEVICES).join(", ")}`);
    if (macAddress === undefined) throw new Error(`network interface '${key}' has no mac address`);
    if (bridge === undefined) throw new Error(`${key} has no bridge: the lab has no NAT network of QEMU's own`);
    if (trunks !== undefined) throw new Error(`${key} has trunks=${trunks}: the lab's bridges carry no trunks`);
    if (firewall === "1") notes.push(`${key}: firewall=1 has no effect in the lab`);
    for (const [name, value] of Object.entries(others)) notes.push(`${key}: ${name}=${value} has no effect in the lab`);
    const index = Number(key.slice("net".length));
    const tap = `tap${vmId}i${index}`;
    const vlan = tag === undefined ? {} : { vlanId: Number(tag) };
    cards.push({ key, tap, bridge, ...vlan, linkDown: link_down === "1" });
    args.push("-netdev", `tap,id=netdev-${key},ifname=${tap},script=no,downscript=no`);
    const card = [device, `mac=${macAddress}`, `netdev=netdev-${key}`, `id=${key}`, "bus=pci.0", "romfile="];
    if (index < 6) card.push(`addr=0x${(0x12 + index).toString(16)}`); // ens18 and so on, as on a PVE node
    if (mtu !== undefined && model === "virtio" && mtu !== "1") card.push(`host_mtu=${mtu}`);
    args.push("-device", card.join(","));
  }
  return { args, cards, notes };
}
