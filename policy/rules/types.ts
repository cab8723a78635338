/** Kinds of resources, by their tokens. */
import type { PolicyResource } from "../resource";

export const BACKUP_JOB = "proxmoxve:backup/job:Job";
export const CLOUD_IMAGE = "proxmoxve:download/file:File";
export const CONTAINER = "docker:index/container:Container";
export const DOCKER_IMAGE = "docker:index/remoteImage:RemoteImage";
export const VOLUME = "docker:index/volume:Volume";

/** VMs and Linux containers of Proxmox, in every generation of the provider's classes. */
export function isMachine({ type }: PolicyResource): boolean {
  return /^proxmoxve:(index|cloned)\/\w+:(Vm|VmLegacy|Vm2Legacy|ContainerLegacy)$/.test(type);
}

export function isStorage({ type }: PolicyResource): boolean {
  return type.startsWith("proxmoxve:storage/");
}
