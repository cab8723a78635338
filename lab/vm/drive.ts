/** Drive values (`scsi0: local-lvm:vm-200-disk-0,discard=on,size=8G`), as PVE::QemuServer::Drive reads and prints them. */
import { isCloudInitDrive } from "../../pve/vm-config";
import { parsePropertyString, printPropertyString } from "../../pve/property-string";
import { messageOf, notEmulated, parameterError } from "../errors";

/** Options of a drive that the lab keeps; all others that PVE has limit or passes through something it does not emulate. */
const OPTIONS: Readonly<Record<string, RegExp>> = {
  aio: /^(native|threads|io_uring)$/,
  backup: /^[01]$/,
  cache: /^(none|writethrough|writeback|unsafe|directsync)$/,
  detect_zeroes: /^[01]$/,
  discard: /^(ignore|on)$/,
  format: /^(raw|qcow2|vmdk|qcow|qed|cloop)$/,
  "import-from": /./,
  iothread: /^[01]$/,
  media: /^(cdrom|disk)$/,
  queues: /^\d+$/,
  replicate: /^[01]$/,
  ro: /^[01]$/,
  serial: /^[\w%.-]{1,60}$/,
  size: /^\d+(\.\d+)?[KMGT]?$/,
  ssd: /^[01]$/,
  wwn: /^0x[0-9a-fA-F]{16}$/,
};

const UNEMULATED =
  /^(bps|mbps|iops)(_(rd|wr))?(_max)?(_max_length|_length)?$|^(snapshot|rerror|werror|scsiblock|shared|product|vendor|model)$/;

/** A drive's options; `file` is the volume. */
export interface Drive {
  readonly file: string;
  readonly options: Readonly<Record<string, string>>;
}

/** @throws ApiError 400 naming the key. */
export function parseDrive(key: string, text: string): Drive {
  let properties: Record<string, string>;
  try {
    properties = parsePropertyString(text, "file");
  } catch (error) {
    throw parameterError({ [key]: `invalid format - ${messageOf(error)}` });
  }
  const { file: named, volume, ...options } = properties;
  const file = named ?? volume;
  if (file === undefined)
    throw parameterError({ [key]: "invalid format - file: property is missing and it is not optional" });
  for (const [option, value] of Object.entries(options)) {
    if (UNEMULATED.test(option)) throw notEmulated(`drive option '${option}' (${key})`);
    const pattern = OPTIONS[option];
    if (pattern === undefined)
      throw parameterError({
        [key]: `invalid format - ${option}: property is not defined in schema and the schema does not allow additional properties`,
      });
    if (!pattern.test(value))
      throw parameterError({ [key]: `invalid format - ${option}: value '${value}' is not allowed` });
  }
  return { file, options };
}

/**
 * A drive of a stored configuration, which may come from an archive of another node and name anything that PVE has: it is
 * taken as it is.
 */
export function storedDrive(text: string): Drive {
  const { file, volume, ...options } = parsePropertyString(text, "file") as Partial<Record<string, string>>;
  const kept = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return { file: file ?? volume ?? "none", options: Object.fromEntries(kept) };
}

/** PVE's stored form: the volume first, then the options by name; what only creation needs is left out. */
export function printDrive({ file, options }: Drive): string {
  const kept = Object.entries(options).filter(([option]) => option !== "import-from" && option !== "format");
  return printPropertyString({ file, ...Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1))) }, "file");
}

/** `storage:8`: a new volume of 8 GiB. Source: `$NEW_DISK_RE`. */
export function newDisk(file: string): { storage: string; sizeBytes: number } | undefined {
  const [, storage, gib] = /^([^/:\s]+):(\d+(?:\.\d+)?)$/.exec(file) ?? [];
  return storage === undefined || gib === undefined
    ? undefined
    : { storage, sizeBytes: Math.floor(Number(gib) * 1024 ** 3) };
}

/** `storage:cloudinit`: a new cloud-init volume. */
export function newCloudInit(file: string): string | undefined {
  return /^([^/:\s]+):cloudinit$/.exec(file)?.[1];
}

/** A drive without a medium: none, or the node's own CD-ROM drive, which the lab's node does not have. */
export function isEmpty(file: string): boolean {
  return file === "none" || file === "cdrom";
}

/** CD-ROM or cloud-init: no disk of the guest's own. */
export function isRemovable(drive: Drive): boolean {
  return drive.options["media"] === "cdrom" || isEmpty(drive.file) || isCloudInitDrive(drive.file);
}

/** Whether a key names a drive that the lab can make. */
export function isDriveKey(key: string): boolean {
  return /^(ide|sata|scsi|virtio)\d+$/.test(key);
}

/** Whether a key of a stored configuration names a volume: a drive, or the firmware's or TPM's state of a restored guest. */
export function isVolumeKey(key: string): boolean {
  return isDriveKey(key) || key === "efidisk0" || key === "tpmstate0";
}
