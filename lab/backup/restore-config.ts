/**
 * How a restore rewrites the configuration of an archive, as PVE does it line by line. Pure.
 * Source: qemu-server `restore_update_config_line`, `restore_merge_config` and `$parse_backup_hints`.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { parsePropertyString, printPropertyString } from "../../pve/property-string";
import { isCloudInitDrive, parseNetworkCard, parseVmConfig, printNetworkCard, qmdumpMap } from "../../pve/vm-config";
import { parseVolumeId } from "../../pve/volume-id";
import { type VmConfig } from "../types";
import { type VmaDevice } from "../vma/format";

/** Size of the cloud-init drive that a restore allocates afresh. */
export const CLOUD_INIT_BYTES = 4 * 1024 * 1024;

/** A volume that a restore has to allocate. */
export interface RestoreVolume {
  /** Configuration key, `scsi0`. */
  readonly key: string;
  readonly storage: string;
  readonly sizeBytes: number;
  /** The archive's device that fills it; undefined: a new cloud-init drive, which is never in an archive. */
  readonly device: VmaDevice | undefined;
}

/**
 * Volumes for the archive's disks and its cloud-init drive, in PVE's order of allocation. Throws PVE's text when the
 * archive's configuration and its devices do not fit.
 */
export function planVolumes(text: string, devices: readonly VmaDevice[], storage: string | undefined): RestoreVolume[] {
  const volumes = new Map<string, RestoreVolume>();
  const mapped = new Set<string>();
  for (const mapping of qmdumpMap(text)) {
    const device = devices.find((candidate) => candidate.name === mapping.device);
    if (device === undefined) throw new Error(`archive does not contain data for drive '${mapping.key}'`);
    mapped.add(device.name);
    const target = storage ?? mapping.storage;
    volumes.set(mapping.key, {
      key: mapping.key,
      storage: target === "" ? "local" : target,
      sizeBytes: device.sizeBytes,
      device,
    });
  }
  for (const [key, value] of Object.entries(parseVmConfig(text))) {
    if (!/^(?:ide|sata|scsi)\d+$/.test(key) || !isCloudInitDrive(value)) continue;
    const file = parsePropertyString(value, "file")["file"] ?? "";
    volumes.set(key, {
      key,
      storage: storage ?? parseVolumeId(file).storage,
      sizeBytes: CLOUD_INIT_BYTES,
      device: undefined,
    });
  }
  const unmapped = devices.find((device) => !mapped.has(device.name));
  if (unmapped !== undefined) throw new Error(`found no device mapping information for device '${unmapped.name}'`);
  return [...volumes.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Sources of what a restore draws; replaced in tests. */
export interface RestoreRandom {
  /** `BC:24:11:…`, PVE's default prefix. */
  mac(): string;
  uuid(): string;
}

const RANDOM: RestoreRandom = {
  mac: () =>
    ["BC", "24", "11", ...[...randomBytes(3)].map((byte) => byte.toString(16).padStart(2, "0"))]
      .join(":")
      .toUpperCase(),
  uuid: () => randomUUID(),
};

export interface RestoreConfigArgs {
  /** Configuration as it stands in the archive, with `#qmdump#` lines. */
  readonly text: string;
  /** New volume by configuration key. */
  readonly volumes: Readonly<Record<string, string>>;
  /** New MAC addresses for all cards that have one, and a new SMBIOS UUID. */
  readonly unique: boolean;
  /** Keys that replace the archive's as a whole. They can add and replace, not remove. */
  readonly overrides: VmConfig;
  readonly random?: RestoreRandom;
}

function restoreLine(line: string, args: RestoreConfigArgs, random: RestoreRandom): string | undefined {
  if (/^#(?:qmdump|vzdump)#/.test(line) || /^(?:lock|unused\d+|parent):/.test(line)) return undefined;
  const match = /^([a-z0-9_-]+):\s*(.*?)\s*$/.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return line;
  const [, key, value] = match;
  if (/^net\d+$/.test(key) && args.unique) {
    const card = parseNetworkCard(value);
    return `${key}: ${printNetworkCard(card.macAddress === undefined ? card : { ...card, macAddress: random.mac() })}`;
  }
  if (/^(?:ide|scsi|virtio|sata|efidisk|tpmstate)\d+$/.test(key)) {
    const drive = parsePropertyString(value, "file");
    if (drive["backup"] === "0") return `#${line}`;
    const volume = args.volumes[key];
    if (volume === undefined) return line;
    delete drive["format"]; // the new storage decides about it
    return `${key}: ${printPropertyString({ ...drive, file: volume }, "file")}`;
  }
  if (key === "vmgenid") return `vmgenid: ${value === "0" ? "0" : random.uuid()}`;
  if (key === "smbios1" && args.unique) {
    return `smbios1: ${printPropertyString({ ...parsePropertyString(value), uuid: random.uuid() })}`;
  }
  return line;
}

/**
 * The restored guest's configuration. A disk with `backup=0` becomes a comment, which PVE then reads as a line of the
 * description; disk lines without a new volume stay and may name old volumes, as in PVE.
 */
export function restoreConfig(args: RestoreConfigArgs): VmConfig {
  const random = args.random ?? RANDOM;
  const lines = args.text
    .split("\n")
    .map((line) => restoreLine(line, args, random))
    .filter((line) => line !== undefined);
  const overrides = Object.entries(args.overrides).map(([key, value]): [string, string] => {
    if (!/^net\d+$/.test(key)) return [key, value];
    const card = parseNetworkCard(value);
    return [key, printNetworkCard({ ...card, macAddress: card.macAddress ?? random.mac() })];
  });
  return { ...parseVmConfig(lines.join("\n")), ...Object.fromEntries(overrides) };
}
