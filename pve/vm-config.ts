/**
 * VM configuration files (`qemu-server/<vmid>.conf`) and the configuration inside archives.
 * Source: qemu-server `PVE::QemuServer::parse_vm_config` and `write_vm_config`.
 */
import { parsePropertyString } from "./property-string";

/** One line `#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:` of an archive's configuration. */
export interface QmdumpEntry {
  /** Configuration key, e.g. `scsi0`. */
  key: string;
  /** Device name in the archive, e.g. `drive-scsi0`. */
  device: string;
  /** Storage the disk was on; a hint where to restore it. */
  storage: string;
  format: string;
}

const DISK_KEY = /^(?:(?:ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0)$/;
const NETWORK_KEY = /^net\d+$/;

function decodePercent(text: string): string {
  return text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}

const QMDUMP_LINE = /^#qmdump#map:([^:\s]+):([^:\s]+):([^:\s]*):([^:\s]*):$/;

/** The mapping lines of an archive's configuration; none in any other configuration. */
export function qmdumpMap(text: string): QmdumpEntry[] {
  return text.split("\n").flatMap((line) => {
    const match = QMDUMP_LINE.exec(line);
    if (match === null) return [];
    const [, key = "", device = "", storage = "", format = ""] = match;
    return [{ key, device, storage, format }];
  });
}

/** The line that `qmdumpMap` reads. */
export function printQmdumpEntry({ key, device, storage, format }: QmdumpEntry): string {
  return `#qmdump#map:${key}:${device}:${storage}:${format}:`;
}

/**
 * Reads the current section (no snapshots, no pending). `description` holds the comment lines, decoded, without blank
 * space at the end. Lines of an archive's mapping are left out.
 */
export function parseVmConfig(text: string): Record<string, string> {
  const config: Record<string, string> = {};
  const description: string[] = [];
  for (const line of text.split("\n")) {
    if (/^\[.*\]\s*$/.test(line)) break;
    if (line.startsWith("#qmdump#")) continue;
    if (line.startsWith("#")) {
      description.push(decodePercent(Buffer.from(line.slice(1), "utf8").toString("latin1")));
      continue;
    }
    const match = /^([a-z][a-z_\-0-9]*\d*):\s*(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined && match[2] !== "") config[match[1]] = match[2];
  }
  if (description.length > 0) {
    config["description"] = Buffer.from(description.join("\n"), "latin1").toString("utf8").replace(/\s+$/, "");
  }
  return config;
}

function encodeDescriptionLine(line: string): string {
  return [...Buffer.from(line, "utf8")]
    .map((byte) =>
      byte < 0x20 || byte > 0x7e || byte === 0x25 || byte === 0x3a
        ? `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
        : String.fromCharCode(byte),
    )
    .join("");
}

/** Text of a configuration: description first, then the keys in order. */
export function printVmConfig(config: Readonly<Record<string, string>>): string {
  const { description, ...keys } = config;
  const comment =
    description === undefined || description === ""
      ? []
      : description
          .replace(/\n$/, "")
          .split("\n")
          .map((line) => `#${encodeDescriptionLine(line)}`);
  const lines = Object.entries(keys)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}: ${value}`);
  return [...comment, ...lines].map((line) => `${line}\n`).join("");
}

/** Whether a drive value is a CD-ROM, which includes cloud-init drives. */
export function isCdrom(value: string): boolean {
  return parsePropertyString(value, "file")["media"] === "cdrom" || isCloudInitDrive(value);
}

/** Whether a drive value is PVE's cloud-init drive. */
export function isCloudInitDrive(value: string): boolean {
  const file = parsePropertyString(value, "file")["file"] ?? "";
  return /(?:^[^:]+:cloudinit$)|(?:vm-\d+-cloudinit(?:\.[a-z0-9]+)?$)/.test(file);
}

/** Volume id of a drive value; `none`, `cdrom` or a path where it has none. */
export function driveVolume(value: string): string {
  return parsePropertyString(value, "file")["file"] ?? "";
}

/** Whether a key of a configuration names a drive, CD-ROMs included. */
export function isDiskKey(key: string): boolean {
  return DISK_KEY.test(key);
}

/** Keys of all drives, CD-ROMs included, in natural order. */
export function diskKeys(config: Readonly<Record<string, string>>): string[] {
  return Object.keys(config)
    .filter(isDiskKey)
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

/** Keys of the disks that an archive's configuration names and the archive does not hold, such as those with `backup=0`. */
export function disksNotInArchive(archiveConfig: string): string[] {
  const config = parseVmConfig(archiveConfig);
  const held = new Set(qmdumpMap(archiveConfig).map(({ key }) => key));
  return diskKeys(config).filter((key) => {
    const drive = config[key] ?? "";
    if (isCdrom(drive)) return false;
    return held.size > 0
      ? !held.has(key)
      : /^(?:0|no|off|false)$/i.test(parsePropertyString(drive, "file")["backup"] ?? "");
  });
}

/** Keys of all network cards, in natural order. */
export function networkKeys(config: Readonly<Record<string, string>>): string[] {
  return Object.keys(config)
    .filter((key) => NETWORK_KEY.test(key))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

/** Every card model that PVE has. */
export const NETWORK_MODELS: ReadonlySet<string> = new Set([
  "e1000",
  "e1000-82540em",
  "e1000-82544gc",
  "e1000-82545em",
  "e1000e",
  "i82551",
  "i82557b",
  "i82559er",
  "ne2k_isa",
  "ne2k_pci",
  "pcnet",
  "rtl8139",
  "virtio",
  "vmxnet3",
]);

/** A network card; both `virtio=MAC,…` and `model=virtio,macaddr=MAC,…` are understood. */
export interface NetworkCard {
  model: string;
  /** Undefined: PVE draws one. */
  macAddress: string | undefined;
  /** Everything else: bridge, tag, firewall, link_down, … */
  options: Record<string, string>;
}

/** @throws Error when the value names no known model. */
export function parseNetworkCard(value: string): NetworkCard {
  const { model: named, macaddr, ...rest } = parsePropertyString(value, "model");
  const key = Object.keys(rest).find((name) => NETWORK_MODELS.has(name));
  const model = named ?? key;
  if (model === undefined)
    throw new Error(`Unable to parse network "${value}": it names no known card model such as virtio.`);
  const options = Object.fromEntries(Object.entries(rest).filter(([name]) => name !== key));
  return { model, macAddress: macaddr ?? (key === undefined ? undefined : rest[key]), options };
}

/** PVE's stored form, `virtio=MAC,bridge=…`; without a MAC just the model. */
export function printNetworkCard(card: NetworkCard): string {
  const head = card.macAddress === undefined ? card.model : `${card.model}=${card.macAddress}`;
  return [head, ...Object.entries(card.options).map(([key, option]) => `${key}=${option}`)].join(",");
}
