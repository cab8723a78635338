/**
 * What setting and deleting keys does to a configuration (PVE::QemuServer `vmconfig_apply_pending`,
 * `vmconfig_register_unused_drive`): a disk that leaves its key becomes `unusedN`, a cloud-init drive is freed.
 */
import { isCloudInitDrive } from "../../pve/vm-config";
import { type LabVolumes } from "../storage";
import { type VmConfig } from "../types";
import { isDriveKey, isEmpty, isRemovable, isVolumeKey, parseDrive, storedDrive } from "./drive";
import { without } from "../without";

export interface ConfigChange {
  readonly values: VmConfig;
  readonly deleted: readonly string[];
  /** Frees a disk that leaves its key instead of keeping it as `unusedN`. */
  readonly force?: boolean;
}

/** The changed configuration, and the volumes that nothing refers to any more. */
export interface ChangedConfig {
  readonly config: VmConfig;
  readonly freed: readonly string[];
}

export function applyChange(volumes: LabVolumes, vmId: number, current: VmConfig, change: ConfigChange): ChangedConfig {
  let config: VmConfig = { ...current };
  const freed: string[] = [];
  const release = (key: string): void => {
    const value = config[key];
    config = without(config, key);
    if (value === undefined) return;
    if (/^unused\d+$/.test(key)) {
      freed.push(value);
      return;
    }
    if (!isVolumeKey(key)) return;
    const drive = storedDrive(value);
    if (isCloudInitDrive(value)) freed.push(drive.file);
    else if (!isRemovable(drive) && isOwn(volumes, vmId, drive.file)) {
      if (change.force === true) freed.push(drive.file);
      else config = withUnused(config, drive.file);
    }
  };
  for (const key of change.deleted) release(key);
  for (const [key, value] of Object.entries(change.values)) {
    const old = config[key];
    if (old !== undefined && isDriveKey(key) && storedDrive(old).file !== parseDrive(key, value).file) release(key);
    config = { ...config, [key]: value };
  }
  return { config, freed: freed.filter((volid) => !refersTo(config, volid)) };
}

/** Whether a configuration still names this volume. */
export function refersTo(config: VmConfig, volid: string): boolean {
  return Object.entries(config).some(
    ([key, value]) =>
      (isVolumeKey(key) && storedDrive(value).file === volid) || (/^unused\d+$/.test(key) && value === volid),
  );
}

/** Volumes that a configuration names and that belong to this VM: its disks, cloud-init drives and unused disks. */
export function ownVolumes(volumes: LabVolumes, vmId: number, config: VmConfig): string[] {
  const files = Object.entries(config).flatMap(([key, value]) => {
    if (/^unused\d+$/.test(key)) return [value];
    return isVolumeKey(key) ? [storedDrive(value).file] : [];
  });
  return [...new Set(files)].filter((file) => !isEmpty(file) && isOwn(volumes, vmId, file));
}

/** False also for what no storage of the lab has, such as the ISO image of a restored guest's CD-ROM drive. */
function isOwn(volumes: LabVolumes, vmId: number, file: string): boolean {
  try {
    const { content, vmId: owner } = volumes.parse(file);
    return content === "images" && owner === vmId;
  } catch {
    return false;
  }
}

function withUnused(config: VmConfig, volid: string): VmConfig {
  if (refersTo(config, volid)) return config;
  for (let index = 0; ; index++)
    if (config[`unused${index}`] === undefined) return { ...config, [`unused${index}`]: volid };
}
