/**
 * The VM that keeps the disks of a broken VM that an emergency replaces: it has no network card, never starts by itself, is
 * protected, and its description proves what it is. Pure. Nothing here ever removes it.
 */
import type { CreateParameters } from "../pve/nodes/qemu";
import { diskKeys, driveVolume, isCdrom, printVmConfig } from "../pve/vm-config";
import { ownerOfVolume } from "../pve/volume-id";

/** A VM's configuration. */
type Config = Readonly<Record<string, string>>;

/** What the description proves. */
export interface AsideMark {
  /** Run that made the VM. */
  readonly began: string;
  /** VMID, name and UUID of the broken VM. */
  readonly vmId: number;
  readonly vmName: string;
  readonly vmUuid: string;
  /** Configuration keys of all disks that the broken VM had. */
  readonly disks: readonly string[];
}

/** A disk that is kept: its configuration key, the same as in the broken VM, and its volume. */
export interface KeptDisk {
  readonly disk: string;
  readonly volume: string;
}

const KEY = "homelab-aside";
/** Proxmox takes 8192 characters; the configuration also stands in the evidence. */
const LONGEST_CONFIG = 6000;
/** What would be no configuration of a VM: answers of the API, and the password that Proxmox shows as asterisks. */
const NOT_KEPT = new Set(["digest", "cipassword"]);

/** Name of the VM that keeps the disks of a VM of this name. */
export function asideName(vmName: string): string {
  return `${vmName.slice(0, 57)}-aside`;
}

/**
 * Parameters that make the empty VM in the pool of production's VM; `oldConfig` is the broken VM's. Without a tag: that would take a
 * right on the VM itself before it is in the pool.
 */
export function asideParameters(
  { vmid, pool }: Pick<CreateParameters, "vmid" | "pool">,
  mark: AsideMark,
  oldConfig: Config,
): CreateParameters {
  const { began, vmId, vmName, vmUuid, disks } = mark;
  const config = keptConfig(oldConfig);
  return {
    vmid,
    pool,
    name: asideName(vmName),
    onboot: false,
    protection: true,
    description: [
      `${KEY}=${began}`,
      `${KEY}-of=${vmId} ${vmName} ${vmUuid}`,
      `${KEY}-disks=${disks.join(",")}`,
      `Disks of VM ${vmId} as it was when emergency ${began} replaced it. Not to be started; to be removed by a person.`,
      ...(config.length > LONGEST_CONFIG
        ? ["Its configuration is in that run's evidence."]
        : [
            "Its configuration was:",
            ...config
              .trimEnd()
              .split("\n")
              .map((line) => `    ${line}`),
          ]),
      "",
    ].join("\n"),
  };
}

/** What a description proves; undefined if it is of no such VM. */
export function parseAsideMark(description: string | undefined): AsideMark | undefined {
  const lines = (description ?? "").split("\n").map((line) => line.trim());
  const valueOf = (key: string): string | undefined =>
    lines.find((line) => line.startsWith(`${key}=`))?.slice(key.length + 1);
  const began = valueOf(KEY);
  const disks = valueOf(`${KEY}-disks`);
  const [, vmId, vmName, vmUuid] = /^(\d+) (\S+) (\S+)$/.exec(valueOf(`${KEY}-of`) ?? "") ?? [];
  if (began === undefined || disks === undefined) return undefined;
  if (vmId === undefined || vmName === undefined || vmUuid === undefined) return undefined;
  return { began, vmId: Number(vmId), vmName, vmUuid, disks: disks.split(",").filter((key) => key !== "") };
}

/** Text of a broken VM's configuration as a file of Proxmox has it. Without what Proxmox hides. */
export function keptConfig(config: Config): string {
  return printVmConfig(Object.fromEntries(Object.entries(config).filter(([key]) => !NOT_KEPT.has(key))));
}

/**
 * Disks of a configuration that a destroy would delete, or that it no longer uses; firmware's and TPM's state included. Not
 * CD-ROMs, and not the cloud-init drive, which Proxmox makes anew from the configuration.
 */
export function disksOf(config: Config): KeptDisk[] {
  const drives = diskKeys(config).filter((key) => !isCdrom(config[key] ?? ""));
  const unused = Object.keys(config).filter((key) => /^unused\d+$/.test(key));
  return [...drives, ...unused].map((disk) => ({ disk, volume: driveVolume(config[disk] ?? "") }));
}

/** Disks that Proxmox can't give to another VM, such as a device of the node or another VM's volume. */
export function unmovable(config: Config, vmId: number): KeptDisk[] {
  return disksOf(config).filter(({ volume }) => ownerOfVolume(volume) !== vmId);
}
