/** Read access to volumes. Source: pve-storage `PVE::Storage::check_volume_access`, `PVE::API2::Storage::Content`. */
import { type LabVolumes } from "../storage";
import { type Access } from "./access-control";

/**
 * @param vmId Guest on whose behalf the volume is read; its own volumes are free to it.
 * @throws ApiError 403, or Error with PVE's text for a volume of nobody.
 */
export function requireVolumeAccess(access: Access, volumes: LabVolumes, volid: string, vmId?: number): void {
  const { definition, content, vmId: diskOwner } = volumes.parse(volid);
  const storage = `/storage/${definition.storage}`;
  if (access.has(storage, "Datastore.Allocate")) return;
  if (content === "iso" || content === "vztmpl" || content === "import") {
    access.requireAny(storage, "Datastore.AllocateSpace", "Datastore.Audit");
    return;
  }
  const owner = diskOwner ?? (content === "backup" ? archiveOwner(volid) : undefined);
  if (owner === undefined) throw new Error(`missing privileges to access ${volid}`);
  if (owner === vmId) return;
  if (content === "backup") {
    access.require(storage, "Datastore.AllocateSpace");
    access.require(`/vms/${owner}`, "VM.Backup");
  } else {
    access.require(storage, "Datastore.Audit");
    access.require(`/vms/${owner}`, "VM.Config.Disk");
  }
}

/** Whether a list shows this volume: PVE leaves the others out without a word. */
export function mayReadVolume(access: Access, volumes: LabVolumes, volid: string): boolean {
  try {
    requireVolumeAccess(access, volumes, volid);
    return true;
  } catch {
    return false;
  }
}

/** @throws ApiError 403 */
export function requireVolumeRemoval(access: Access, volumes: LabVolumes, volid: string): void {
  const { definition, content } = volumes.parse(volid);
  const storage = `/storage/${definition.storage}`;
  const owner = content === "backup" ? archiveOwner(volid) : undefined;
  if (owner === undefined) {
    access.require(storage, "Datastore.Allocate");
    return;
  }
  access.require(storage, "Datastore.AllocateSpace");
  access.require(`/vms/${owner}`, "VM.Backup");
}

/** Extracting a configuration asks for VM.Backup also where the storage is the caller's. @throws ApiError 403 */
export function requireArchiveConfigAccess(access: Access, volumes: LabVolumes, volid: string): void {
  requireVolumeAccess(access, volumes, volid);
  const owner = archiveOwner(volid);
  if (owner !== undefined) access.require(`/vms/${owner}`, "VM.Backup");
}

/** The guest in an archive's name, also where the rest of the name is nobody's standard (`PVE::Storage::Plugin`). */
function archiveOwner(volid: string): number | undefined {
  const vmId = /[:/]vzdump-(?:qemu|lxc|openvz)-(\d+)-/.exec(volid)?.[1];
  return vmId === undefined ? undefined : Number(vmId);
}
