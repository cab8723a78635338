/** A guest's state in the numbers that several answers share (PVE::QemuServer `vmstatus`). */
import { parsePropertyString } from "../../pve/property-string";
import { parseDiskSize } from "../../pve/size";
import { type Lab } from "../context";
import { type VmConfig } from "../types";
import { isDriveKey, isRemovable, storedDrive } from "./drive";

const MIB = 1024 * 1024;
/** PVE's default memory of a VM. MiB. */
const DEFAULT_MEMORY_MIB = 512;

export interface GuestStatus {
  readonly vmid: number;
  readonly name: string;
  readonly status: "running" | "stopped";
  readonly qmpstatus: string;
  readonly cpus: number;
  readonly maxmem: number;
  readonly maxdisk: number;
  readonly uptime: number;
  readonly pid?: number;
  readonly lock?: string;
  readonly tags?: string;
  readonly template?: 1;
}

/** @throws Error with PVE's text when there is no such guest. */
export function guestStatus(lab: Lab, vmId: number): GuestStatus {
  const { current } = lab.guests.read(vmId);
  const machine = lab.machines.status(vmId);
  return {
    vmid: vmId,
    name: current["name"] ?? `VM ${vmId}`,
    status: machine.status,
    qmpstatus: machine.qmpStatus,
    cpus: Number(current["vcpus"] ?? Number(current["sockets"] ?? 1) * Number(current["cores"] ?? 1)),
    maxmem: memoryMiB(current) * MIB,
    maxdisk: bootDiskBytes(current),
    uptime: machine.uptime,
    ...(machine.pid === undefined ? {} : { pid: machine.pid }),
    ...(current["lock"] === undefined ? {} : { lock: current["lock"] }),
    ...(current["tags"] === undefined ? {} : { tags: current["tags"] }),
    ...(current["template"] === "1" ? { template: 1 as const } : {}),
  };
}

/** Whether the configuration says that an agent is there. */
export function isAgentEnabled(config: VmConfig): boolean {
  return parsePropertyString(config["agent"] ?? "", "enabled")["enabled"] === "1";
}

function memoryMiB(config: VmConfig): number {
  return Number(parsePropertyString(config["memory"] ?? "", "current")["current"] ?? DEFAULT_MEMORY_MIB);
}

/** Size of the first disk in the boot order, as PVE shows it. */
function bootDiskBytes(config: VmConfig): number {
  const order = (parsePropertyString(config["boot"] ?? "", "legacy")["order"] ?? "").split(";");
  const value = order
    .filter((key) => isDriveKey(key))
    .map((key) => ({ key, text: config[key] }))
    .find(({ text }) => text !== undefined && !isRemovable(storedDrive(text)));
  if (value?.text === undefined) return 0;
  return parseDiskSize(storedDrive(value.text).options["size"] ?? "0");
}
