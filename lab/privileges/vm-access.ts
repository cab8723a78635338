/** What creating, restoring and changing a VM asks for. Source: qemu-server `PVE::API2::Qemu`, `check_bridge_access`. */
import { type Privilege } from "../../pve/access/privileges";
import { parsePropertyString } from "../../pve/property-string";
import { isCdrom, isCloudInitDrive, networkKeys } from "../../pve/vm-config";
import { type Lab } from "../context";
import { type LabVolumes } from "../storage";
import { type VmConfig } from "../types";
import { without } from "../without";
import { isDriveKey, isEmpty, newCloudInit, newDisk, parseDrive } from "../vm/drive";
import { permissionDenied, type Access } from "./access-control";
import { requireVolumeAccess } from "./volume-access";

/** The VM, and the pool that a new one is to join, whose privileges do as well. */
export interface VmTarget {
  readonly vmId: number;
  readonly pool?: string;
}

/** Keys of a VM's configuration by the privilege that changing them takes. */
const PRIVILEGE_OF_KEY: readonly (readonly [Privilege, RegExp])[] = [
  ["VM.Config.CPU", /^(cores|cpu|cpulimit|cpuunits|numa\d*|smp|sockets|vcpus)$/],
  ["VM.Config.Memory", /^(memory|balloon|shares|allow-ksm)$/],
  ["VM.Config.HWType", /^(acpi|hotplug|kvm|machine|scsihw|smbios1|tablet|vga|watchdog|audio0|rng0|serial\d+)$/],
  [
    "VM.Config.Options",
    /^(agent|autostart|bios|description|keyboard|localtime|migrate_downtime|migrate_speed|name|onboot|ostype|protection|reboot|startdate|startup|tags|tdf|template)$/,
  ],
  ["VM.PowerMgmt", /^freeze$/],
  ["VM.Config.Disk", /^(boot|bootdisk|vmstatestorage|unused\d+)$/],
  ["VM.Config.Network", /^net\d+$/],
];
const CLOUD_INIT_KEYS = /^(cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+)$/;

/** A new VM or a restored one. */
export interface Creation extends VmTarget {
  readonly archive?: string;
  readonly force?: boolean;
  readonly storage?: string;
  readonly start?: boolean;
}

/** @throws ApiError 403, or Error with PVE's text for what only root may. */
export function requireCreation(access: Access, lab: Lab, creation: Creation, values: VmConfig): void {
  const { vmId, pool, archive, storage } = creation;
  if (pool !== undefined && lab.pools.find(pool) === undefined) throw permissionDenied(`pool '${pool}' does not exist`);
  if (storage !== undefined) access.require(`/storage/${storage}`, "Datastore.AllocateSpace");
  if (creation.start === true) requireOnVm(access, creation, "VM.PowerMgmt");
  const overwrites = archive !== undefined && creation.force === true && lab.guests.exists(vmId);
  const mayAllocate =
    access.has(`/vms/${vmId}`, "VM.Allocate") ||
    (pool !== undefined && access.has(`/pool/${pool}`, "VM.Allocate")) ||
    (overwrites && access.has(`/vms/${vmId}`, "VM.Backup"));
  if (!mayAllocate) throw permissionDenied();
  if (archive?.includes(":") === true) requireVolumeAccess(access, lab.volumes, archive, vmId);
  requireStorages(access, lab.volumes, vmId, values);
  // A new VM's tags are looked at in its task, a restored one's never.
  requireKeys(access, creation, Object.keys(without(values, "tags")));
  requireBridges(access, values);
}

/** @throws ApiError 403, or Error with PVE's text for what only root may. */
export function requireChange(
  access: Access,
  lab: Lab,
  { vmId, values, deleted }: { readonly vmId: number; readonly values: VmConfig; readonly deleted: readonly string[] },
): void {
  requireKeys(access, { vmId }, [...deleted, ...Object.keys(values)]);
  requireStorages(access, lab.volumes, vmId, values);
  requireBridges(access, values);
  if (!lab.guests.exists(vmId)) return;
  const { current, pending } = lab.guests.read(vmId);
  const known: VmConfig = { ...pending, ...current };
  for (const key of new Set([...deleted, ...Object.keys(values)])) {
    const both = [known[key], values[key]].filter((value) => value !== undefined);
    if (isDriveKey(key)) for (const value of both) requireDrive(access, vmId, value);
    // The card that is replaced must be on a bridge of the caller's too.
    if (/^net\d+$/.test(key)) requireBridges(access, { [key]: known[key] ?? "" });
  }
}

/**
 * The bridges of a configuration.
 *
 * Source: pve-guest-common `PVE::GuestHelpers::check_vnet_access`; without SDN every bridge is in the zone `localnetwork`.
 *
 * @throws ApiError 403
 */
export function requireBridges(access: Access, config: VmConfig): void {
  for (const key of networkKeys(config)) {
    const { bridge, tag } = parsePropertyString(config[key] ?? "", "model");
    if (bridge === undefined) continue;
    const path = `/sdn/zones/localnetwork/${bridge}`;
    access.require(tag === undefined ? path : `${path}/${tag}`, "SDN.Use");
  }
}

function requireKeys(access: Access, target: VmTarget, keys: readonly string[]): void {
  for (const key of keys) {
    // Drives are judged by their values.
    if (isDriveKey(key)) continue;
    if (CLOUD_INIT_KEYS.test(key)) {
      requireOnVm(access, target, "VM.Config.Cloudinit", "VM.Config.Network");
      continue;
    }
    const privilege = PRIVILEGE_OF_KEY.find(([, pattern]) => pattern.test(key))?.[0];
    if (privilege === undefined) throw new Error(`only root can set '${key}' config`);
    requireOnVm(access, target, privilege);
    // It also says in which order the node starts its guests.
    if (key === "startup") access.require("/", "Sys.Modify");
  }
}

/** One of these on the VM or on its future pool. */
function requireOnVm(access: Access, { vmId, pool }: VmTarget, ...privileges: readonly Privilege[]): void {
  if (pool !== undefined && access.hasAny(`/pool/${pool}`, ...privileges)) return;
  access.requireAny(`/vms/${vmId}`, ...privileges);
}

/** Source: `$check_storage_access`. */
function requireStorages(access: Access, volumes: LabVolumes, vmId: number, values: VmConfig): void {
  for (const [key, value] of Object.entries(values)) {
    if (!isDriveKey(key)) continue;
    const { file, options } = parseDrive(key, value);
    const disk = newDisk(file);
    if (file === "cdrom") access.require("/", "Sys.Console");
    else if (disk !== undefined) access.require(`/storage/${disk.storage}`, "Datastore.AllocateSpace");
    else if (!isEmpty(file) && newCloudInit(file) === undefined && !file.startsWith("/"))
      requireVolumeAccess(access, volumes, file, vmId);
    const source = options["import-from"];
    if (source === undefined || source.startsWith("/")) continue;
    const { vmId: owner } = volumes.parse(source);
    if (owner === undefined) requireVolumeAccess(access, volumes, source, vmId);
    else access.require(`/vms/${owner}`, "VM.Clone");
  }
}

/** Source: `$check_drive_perms`. */
function requireDrive(access: Access, vmId: number, value: string): void {
  const path = `/vms/${vmId}`;
  if (isCloudInitDrive(value)) access.require(path, "VM.Config.Cloudinit", "VM.Config.CDROM");
  else if (isCdrom(value)) access.require(path, "VM.Config.CDROM");
  else access.require(path, "VM.Config.Disk");
}
