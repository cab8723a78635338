/** An emergency restore gives the VM back as it was: what Proxmox is asked for, and what must stand there afterwards. Pure. */
import type { PveParameters } from "../pve/client";
import type { RestoreParameters } from "../pve/nodes/qemu";
import { parsePropertyString, printPropertyString } from "../pve/property-string";
import { diskKeys, isCdrom, isCloudInitDrive, networkKeys, parseNetworkCard } from "../pve/vm-config";
import { ownerOfVolume } from "../pve/volume-id";
import type { RestoredVmInputs } from "./contract/restore";
import { type RunRef, runMarker } from "./contract/run";
import { smbiosUuid } from "./ownership";
import { restoredParts } from "./restore-parameters";

/** A VM's configuration. */
type Config = Readonly<Record<string, string>>;

/** Keys that the restored VM gets back only when it was verified, so that half of a VM neither starts nor resists removal. */
const HELD_BACK = ["description", "onboot", "protection"] as const;
/** Keys that Proxmox sets anew in every restore, and the one that it never shows (`cipassword` is answered as asterisks). */
const NOT_COMPARED = /^(?:vmgenid|meta|digest|lock|parent|unused\d+|cipassword)$/;

/** Identity of an archive's VM: name and SMBIOS UUID; what is undefined the archive does not have. */
export function identityIn(archiveConfig: Config): { readonly name?: string; readonly uuid?: string } {
  const uuid = smbiosUuid(archiveConfig);
  const { name } = archiveConfig;
  return { ...(name === undefined ? {} : { name }), ...(uuid === undefined ? {} : { uuid }) };
}

/**
 * Parameters of the restore call: everything as in the archive, but marked as the run's, neither started nor started by itself.
 * `force`, because it fills the empty VM that the run has made; it would also free the disks of any other VM at this VMID.
 */
export function originalParameters(inputs: RestoredVmInputs, archiveConfig: Config): RestoreParameters {
  const { run, restorePoint } = inputs;
  const { name, uuid } = identityIn(archiveConfig);
  return {
    vmid: run.vmId,
    archive: restorePoint.archive,
    pool: inputs.pool,
    force: true,
    storage: inputs.storage,
    unique: false,
    start: false,
    onboot: false,
    protection: false,
    description: `${runMarker(run.runId)}\nBeing restored from ${restorePoint.archive}.\n`,
    // Only where the archive has none: without them nothing would prove that the VM is the run's.
    name: name === undefined ? run.vmName : undefined,
    smbios1: uuid === undefined ? smbiosWithUuid(archiveConfig["smbios1"], run) : undefined,
    bwlimit: inputs.bandwidthLimitKiBps,
  };
}

/** What the restored VM lacks or has too much, compared with its archive; nothing if it is the VM that was backed up. */
export function originalDeviations(inputs: RestoredVmInputs, archiveConfig: Config, config: Config): string[] {
  const problems: string[] = [];
  if (config["lock"] !== undefined) problems.push(`it is locked (${config["lock"]})`);
  const left = new Set<string>([...HELD_BACK, ...disksWithoutData(archiveConfig)]);
  const isCompared = (key: string): boolean => !NOT_COMPARED.test(key) && !left.has(key);
  const wanted: Config = {
    name: inputs.run.vmName,
    ...archiveConfig,
    smbios1: smbiosWithUuid(archiveConfig["smbios1"], inputs.run),
  };
  const keys = new Set([...Object.keys(wanted), ...Object.keys(config)].filter(isCompared));
  for (const key of [...keys].sort()) {
    const text = difference(key, wanted[key], config[key]);
    if (text !== undefined) problems.push(text);
  }
  for (const volume of restoredParts(config).volumes) {
    if (ownerOfVolume(volume) !== inputs.run.vmId) problems.push(`disk ${volume} is not the VM's own`);
  }
  return problems;
}

/** Disks that are in the VM's configuration, but not in its backup (`backup=0`): a restore can't bring them back. */
function disksWithoutData(archiveConfig: Config): string[] {
  return diskKeys(archiveConfig).filter(
    (key) =>
      /^(?:0|no|off|false)$/i.test(parsePropertyString(archiveConfig[key] ?? "", "file")["backup"] ?? "") &&
      !isCdrom(archiveConfig[key] ?? ""),
  );
}

/** Bridges that the archive's cards are on. */
export function bridgesOf(archiveConfig: Config): string[] {
  const bridges = networkKeys(archiveConfig).map((key) => parseNetworkCard(archiveConfig[key] ?? "").options["bridge"]);
  return [...new Set(bridges.filter((bridge) => bridge !== undefined))];
}

/** The change that ends the run's hold on the VM: description, start on boot and protection as in the archive. */
export function handOverParameters(archiveConfig: Config): PveParameters {
  const kept = HELD_BACK.filter((key) => archiveConfig[key] !== undefined);
  const missing = HELD_BACK.filter((key) => archiveConfig[key] === undefined);
  return {
    ...Object.fromEntries(kept.map((key) => [key, archiveConfig[key]])),
    ...(missing.length === 0 ? {} : { delete: missing.join(",") }),
  };
}

/** What of the VM's own the hand-over did not bring back. */
export function handOverProblems(archiveConfig: Config, config: Config): string[] {
  const text = (value: string | undefined): string => (value ?? "").trim();
  return HELD_BACK.filter((key) => text(archiveConfig[key]) !== text(config[key])).map(
    (key) => `${key} is "${text(config[key])}", not "${text(archiveConfig[key])}"`,
  );
}

function difference(key: string, before: string | undefined, after: string | undefined): string | undefined {
  if (before === undefined) return `${key} is new (${after ?? ""})`;
  if (after === undefined) return `${key} is missing (${before})`;
  const same = diskKeys({ [key]: before }).length > 0 ? diskText(before) === diskText(after) : before === after;
  return same ? undefined : `${key} is ${after}, not ${before}`;
}

/** A disk without what a restore decides anew: where it lies, its format, its size to the byte. */
function diskText(drive: string): string {
  const { file = "", ...options } = parsePropertyString(drive, "file");
  const kind = isCloudInitDrive(drive) ? "cloudinit" : isCdrom(drive) ? file : "disk";
  const kept = Object.entries(options).filter(([key]) => key !== "size" && key !== "format");
  return printPropertyString({ kind, ...Object.fromEntries(kept.sort()) });
}

/** The other fields stay as they are; the UUID is the archive's own or, where it has none, the run's. */
function smbiosWithUuid(smbios: string | undefined, { vmUuid }: RunRef): string {
  const fields = parsePropertyString(smbios ?? "");
  return printPropertyString({ ...fields, uuid: fields["uuid"] ?? vmUuid });
}
