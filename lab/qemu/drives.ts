/**
 * QEMU's options for a VM's drives: block backends named as Proxmox VE names them (`drive-scsi0`), so that backups by QMP find
 * them, on the controllers and PCI slots that PVE gives them, so that a guest restored from a real node finds its devices.
 * Source: PVE/QemuServer.pm (print_drivedevice_full, config_to_command), PVE/QemuServer/PCI.pm.
 */
import { parsePropertyString } from "../../pve/property-string";
import { diskKeys, isCdrom, isCloudInitDrive } from "../../pve/vm-config";
import type { VmConfig } from "../types";

/** Settings of a drive that change nothing in a lab, silently: they belong to PVE's other functions. */
const WITHOUT_EFFECT = new Set([
  "backup",
  "format",
  "replicate",
  "shared",
  "size",
  "queues",
  "vendor",
  "product",
  "model",
]);
/** Settings that would limit or tune a real disk; the log names each one that is given. */
const IGNORED = /^(?:iops|mbps|bps|aio$|cache$|iothread$|werror$|rerror$|cyls$|heads$|secs$|trans$|scsiblock$)/;
const HONOURED = new Set(["file", "media", "discard", "detect_zeroes", "ssd", "ro", "serial", "wwn"]);

/** SCSI controllers by PVE's name. `devices`: how many disks share one. */
const SCSI_CONTROLLERS: Partial<Record<string, { device: string; devices: number; lun: boolean }>> = {
  lsi: { device: "lsi", devices: 7, lun: false },
  lsi53c810: { device: "lsi53c810", devices: 7, lun: false },
  megasas: { device: "megasas", devices: 16, lun: false },
  pvscsi: { device: "pvscsi", devices: 7, lun: false },
  "virtio-scsi-pci": { device: "virtio-scsi-pci", devices: 256, lun: true },
  "virtio-scsi-single": { device: "virtio-scsi-pci", devices: 1, lun: true },
};

export interface DriveOptions {
  readonly args: string[];
  /** What was given and has no effect in a lab, for the task's log. */
  readonly notes: string[];
}

/** The block backend's name of a disk key, which is also QMP's `device` of it. */
export function driveId(diskKey: string): string {
  return `drive-${diskKey}`;
}

/**
 * Options for all drives of a configuration.
 *
 * Lab disks are throw-away: they are opened with `cache=unsafe` whatever the configuration says, so a flush of the guest reaches
 * the host's page cache only. That survives the end of QEMU, but no power cut of the host.
 */
export function driveOptions(
  config: VmConfig,
  pathOf: (volumeId: string) => string,
  hasMedium: (volumeId: string) => boolean = () => true,
): DriveOptions {
  const args: string[] = [];
  const notes: string[] = [];
  const controllers = new Set<string>();
  const order = bootOrder(config);
  for (const key of diskKeys(config)) {
    const value = config[key] ?? "";
    if (key === "efidisk0" || key === "tpmstate0") continue; // see `firmware.ts`
    const drive: Partial<Record<string, string>> = parsePropertyString(value, "file");
    notes.push(...notesOn(key, drive));
    const medium = drive.file ?? "none";
    if (isCdrom(value) && !isCloudInitDrive(value) && !isEmpty(medium) && !hasMedium(medium)) {
      notes.push(`${key}: '${medium}' is not in the lab, so the drive is empty`);
      drive.file = "none";
    }
    args.push(...controllerOf(key, config, controllers));
    args.push("-drive", backend(key, drive, isCdrom(value), pathOf));
    args.push("-device", frontend(key, drive, isCdrom(value), config, order.indexOf(key)));
  }
  return { args, notes };
}

/** Keys in the order in which the firmware tries them. Source: PVE/QemuServer.pm, `get_bootorder`. */
export function bootOrder(config: VmConfig): string[] {
  const { order, legacy } = parsePropertyString(config.boot ?? "", "legacy") as Partial<Record<string, string>>;
  if (order !== undefined) return order.split(";").filter((key) => key !== "");
  const disks = diskKeys(config).filter((key) => !isCdrom(config[key] ?? ""));
  const first = config.bootdisk ?? disks[0];
  const cdroms = diskKeys(config).filter((key) => isCdrom(config[key] ?? ""));
  return Array.from(legacy ?? "cdn").flatMap((letter) => {
    if (letter === "c") return first === undefined ? [] : [first];
    return letter === "d" ? cdroms : [];
  });
}

function backend(
  key: string,
  drive: Partial<Record<string, string>>,
  cdrom: boolean,
  pathOf: (volumeId: string) => string,
): string {
  const options = ["if=none", `id=${driveId(key)}`];
  if (cdrom) options.push("media=cdrom");
  const { file = "none" } = drive;
  if (isEmpty(file)) return options.join(",");
  const path = pathOf(file);
  options.unshift(`file=${path.replaceAll(",", ",,")}`);
  options.push(`format=${path.endsWith(".qcow2") ? "qcow2" : "raw"}`, "cache=unsafe", "aio=threads");
  if (cdrom || drive.ro === "1") {
    options.push("readonly=on");
  } else {
    const discard = drive.discard === "on";
    options.push(`discard=${discard ? "on" : "ignore"}`);
    options.push(`detect-zeroes=${drive.detect_zeroes === "0" ? "off" : discard ? "unmap" : "on"}`);
  }
  return options.join(",");
}

function frontend(
  key: string,
  drive: Partial<Record<string, string>>,
  cdrom: boolean,
  config: VmConfig,
  bootPosition: number,
): string {
  const { bus, index } = splitKey(key);
  const options = [`drive=${driveId(key)}`, `id=${key}`];
  switch (bus) {
    case "virtio":
      options.unshift("virtio-blk-pci", "bus=pci.0");
      if (index < 6) options.push(`addr=0x${(0x0a + index).toString(16)}`);
      break;
    case "scsi": {
      const controller = scsiController(config);
      const unit = index % controller.devices;
      options.unshift(cdrom ? "scsi-cd" : "scsi-hd", `bus=${controllerId(key, config)}.0`);
      if (controller.lun) options.push("channel=0", "scsi-id=0", `lun=${unit}`);
      else options.push(`scsi-id=${unit}`);
      break;
    }
    case "ide":
      options.unshift(cdrom ? "ide-cd" : "ide-hd");
      if (isQ35(config)) options.push(`bus=ide.${index}`, "unit=0");
      else options.push(`bus=ide.${Math.floor(index / 2)}`, `unit=${index % 2}`);
      break;
    case "sata":
      options.unshift(cdrom ? "ide-cd" : "ide-hd", `bus=${controllerId(key, config)}.${index % 6}`);
      break;
    default:
      throw new Error(`Unable to use ${key}: the lab knows no such bus. Use virtio, scsi, sata or ide.`);
  }
  if (!cdrom && bus !== "virtio" && drive.ssd === "1") options.push("rotation_rate=1");
  if (drive.serial !== undefined) options.push(`serial=${decodeURIComponent(drive.serial).replaceAll(",", ",,")}`);
  if (drive.wwn !== undefined && bus !== "virtio") options.push(`wwn=${drive.wwn}`);
  if (bootPosition >= 0) options.push(`bootindex=${100 + bootPosition}`);
  return options.join(",");
}

/** The controller that a drive needs, unless an earlier drive brought it. */
function controllerOf(key: string, config: VmConfig, made: Set<string>): string[] {
  const { bus } = splitKey(key);
  if (bus !== "scsi" && bus !== "sata") return [];
  const id = controllerId(key, config);
  if (made.has(id)) return [];
  made.add(id);
  const device = bus === "sata" ? "ahci" : scsiController(config).device;
  // PVE has slots of their own for the first ones; the others take what is free.
  const slot = { scsihw0: "0x5", virtioscsi0: "0x5", scsihw1: "0x6", virtioscsi1: "0x6", ahci0: "0x7" }[id];
  return ["-device", [device, `id=${id}`, "bus=pci.0", ...(slot ? [`addr=${slot}`] : [])].join(",")];
}

function controllerId(key: string, config: VmConfig): string {
  const { bus, index } = splitKey(key);
  if (bus === "sata") return `ahci${Math.floor(index / 6)}`;
  const { devices } = scsiController(config);
  return `${devices === 1 ? "virtioscsi" : "scsihw"}${Math.floor(index / devices)}`;
}

function scsiController(config: VmConfig): { device: string; devices: number; lun: boolean } {
  const name = config.scsihw ?? "lsi";
  const controller = SCSI_CONTROLLERS[name];
  if (!controller) {
    throw new Error(
      `Unable to use scsihw "${name}": unknown controller. Use one of ${Object.keys(SCSI_CONTROLLERS).join(", ")}.`,
    );
  }
  return controller;
}

function notesOn(key: string, drive: Partial<Record<string, string>>): string[] {
  return Object.entries(drive).flatMap(([name, value = ""]) => {
    if (HONOURED.has(name) || WITHOUT_EFFECT.has(name)) return [];
    if (IGNORED.test(name))
      return name === "iothread" && value === "0" ? [] : [`${key}: ${name}=${value} has no effect in the lab`];
    throw new Error(`Unable to use ${key}: the lab knows no drive option "${name}" (value "${value}"). Remove it.`);
  });
}

/** No medium. A node without a CD-ROM drive of its own: PVE ignores `cdrom` then, and the guest's drive is empty. */
function isEmpty(file: string): boolean {
  return file === "none" || file === "cdrom";
}

function splitKey(key: string): { bus: string; index: number } {
  const [, bus = key, index = "0"] = /^([a-z]+)(\d+)$/.exec(key) ?? [];
  return { bus, index: Number(index) };
}

/** Whether the machine has PCI Express (`machine: q35`, `pc-q35-…`). */
export function isQ35(config: VmConfig): boolean {
  return /q35/.test(parsePropertyString(config.machine ?? "pc", "type").type ?? "");
}
