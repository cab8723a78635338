/** What a restore asks of Proxmox, and what the restored VM must look like: pure. */
import { parsePropertyString, printPropertyString } from "../pve/property-string";
import type { CreateParameters, RestoreParameters } from "../pve/nodes/qemu";
import { diskKeys, driveVolume, isCdrom, isCloudInitDrive, networkKeys, parseNetworkCard } from "../pve/vm-config";
import { ownerOfVolume } from "../pve/volume-id";
import type { RestoredNetwork, RestoredVmInputs } from "./contract/restore";
import { DRILL_TAG, expiryMarker, type RunRef, runMarker } from "./contract/run";
import { ownershipOf } from "./ownership";

/** A VM's configuration. */
type Config = Readonly<Record<string, string>>;

/** Keys that tie a VM to hardware or code of the node: the source VM and its clone can't both have them. */
const TIED = /^(?:hostpci\d+|usb\d+|serial\d+|parallel\d+|virtiofs\d+|ivshmem|args|hookscript)$/;

/**
 * What in an archive's configuration keeps it from being restored beside production. Keys can only be replaced in a restore,
 * never left out, so these would reach for the node's hardware or run code on it.
 */
export function obstaclesTo(archiveConfig: Config): string[] {
  return Object.entries(archiveConfig)
    .filter(([key, value]) => TIED.test(key) && !isHarmless(key, value))
    .map(([key, value]) => `${key}: ${value}`);
}

function isHarmless(key: string, value: string): boolean {
  if (key.startsWith("serial")) return value === "socket";
  return key.startsWith("usb") && /^(?:host=)?spice(?:,|$)/.test(value);
}

/**
 * Parameters of the empty VM that the restore then fills: the identity that the restored VM will have, in its pool, and nothing that
 * could hold data. Its creation is what Proxmox refuses when the VMID is taken, and from then on the token has its rights on it,
 * which a restore alone gives only when it has gone well (qemu-server `restore_vma_archive` ends with `add_vm_to_pool`).
 */
export function emptyVmParameters(
  { vmid, pool, name, description, smbios1 }: RestoreParameters,
  archiveConfig: Config,
): CreateParameters {
  return {
    ...{ vmid, pool, description },
    name: name ?? archiveConfig["name"],
    smbios1: smbios1 ?? archiveConfig["smbios1"],
  };
}

/**
 * Parameters of the restore call: the drill's identity, every card on the isolated bridge, nothing started. `force`, because it
 * fills the empty VM that the run has made.
 */
export function restoreParameters(
  inputs: RestoredVmInputs,
  isolatedBridge: string,
  archiveConfig: Config,
): RestoreParameters {
  const { run, restorePoint, memoryMiB } = inputs;
  const networks = networkKeys(archiveConfig).map((key): [string, string] => [
    key,
    isolatedNetwork(archiveConfig[key] ?? "", isolatedBridge),
  ]);
  const balloon = Number(archiveConfig["balloon"] ?? 0);
  return {
    vmid: run.vmId,
    archive: restorePoint.archive,
    pool: inputs.pool,
    force: true,
    storage: inputs.storage,
    unique: true,
    start: false,
    name: run.vmName,
    onboot: false,
    protection: false,
    tags: DRILL_TAG,
    description: [
      runMarker(run.runId),
      ...(run.expiresAt === undefined ? [] : [expiryMarker(run.expiresAt)]),
      `Restored from ${restorePoint.archive} (VM ${inputs.sourceVmId}).`,
      "",
    ].join("\n"),
    smbios1: smbiosWithUuid(archiveConfig["smbios1"], run.vmUuid),
    ...Object.fromEntries(networks),
    memory: memoryMiB,
    balloon: memoryMiB !== undefined && balloon > memoryMiB ? memoryMiB : undefined,
    cores: inputs.cores,
    bwlimit: inputs.bandwidthLimitKiBps,
  };
}

/** Where the restored VM runs with less than the archive's, one text each: what is proven then holds for the smaller VM only. */
export function reductions(inputs: Pick<RestoredVmInputs, "memoryMiB" | "cores">, archiveConfig: Config): string[] {
  const { current } = parsePropertyString(archiveConfig["memory"] ?? "", "current");
  const memory = Number(current ?? 512);
  const cores = Number(archiveConfig["cores"] ?? 1);
  const texts: string[] = [];
  if (inputs.memoryMiB !== undefined && inputs.memoryMiB < memory) {
    texts.push(`The VM was drilled with ${inputs.memoryMiB} MiB of memory instead of the archive's ${memory} MiB.`);
  }
  if (inputs.cores !== undefined && inputs.cores < cores) {
    texts.push(`The VM was drilled with ${inputs.cores} cores a socket instead of the archive's ${cores}.`);
  }
  return texts;
}

/** Same model, other bridge, no MAC: `unique` draws one. VLAN tag, firewall, rate and MTU of production are left behind. */
function isolatedNetwork(value: string, bridge: string): string {
  const { model, options } = parseNetworkCard(value);
  const { queues } = options;
  return printPropertyString({
    model,
    bridge,
    ...(queues === undefined ? {} : { queues }),
  });
}

/** The other fields stay as they are, base64 or not; only the UUID is the run's. */
function smbiosWithUuid(smbios: string | undefined, uuid: string): string {
  return printPropertyString({ ...parsePropertyString(smbios ?? ""), uuid });
}

/** What stands in a restored configuration. */
export interface RestoredParts {
  readonly networks: RestoredNetwork[];
  /** Volume ids of the disks, cloud-init drive included. */
  readonly volumes: string[];
}

/** Network cards and volumes of a configuration. */
export function restoredParts(config: Config): RestoredParts {
  const networks = networkKeys(config).map((key) => {
    const { macAddress, options } = parseNetworkCard(config[key] ?? "");
    return { key, macAddress: macAddress ?? "", bridge: options["bridge"] ?? "" };
  });
  const drives = diskKeys(config).map((key) => config[key] ?? "");
  return { networks, volumes: drives.filter((drive) => !isCdrom(drive) || isCloudInitDrive(drive)).map(driveVolume) };
}

/** What is wrong with a restored VM before its first start; nothing if it may be started. */
export function deviations(run: RunRef, isolatedBridge: string, config: Config): string[] {
  const problems: string[] = [];
  const { networks, volumes } = restoredParts(config);
  if (ownershipOf(config, run) !== "own") problems.push("name, marker or UUID are not the run's");
  for (const { key, bridge } of networks) {
    if (bridge !== isolatedBridge) problems.push(`${key} is on ${bridge || "no bridge"}, not ${isolatedBridge}`);
  }
  for (const key of ["onboot", "protection"]) {
    if ((config[key] ?? "0") !== "0") problems.push(`${key} is ${config[key] ?? ""}`);
  }
  if (config["lock"] !== undefined) problems.push(`it is locked (${config["lock"]})`);
  if (config["template"] === "1") problems.push("it is a template");
  if (!diskKeys(config).some((key) => !isCdrom(config[key] ?? ""))) problems.push("it has no disk");
  for (const volume of volumes) {
    if (ownerOfVolume(volume) !== run.vmId) problems.push(`disk ${volume} is not the VM's own`);
  }
  return problems;
}

/** Whether the guest's cloud-init takes the clone for a new instance: it has another name and other MAC addresses. */
export function hasCloudInit(config: Config): boolean {
  return diskKeys(config).some((key) => isCloudInitDrive(config[key] ?? ""));
}
