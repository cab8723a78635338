/** PVE volume ids, `<storage>:<name>`. Source: pve-storage `PVE::Storage::parse_volume_id`. */

export interface VolumeId {
  storage: string;
  /** `vm-200-disk-0`, `200/vm-200-disk-0.raw`, `backup/vzdump-qemu-…`, `import/x.qcow2`, … */
  name: string;
}

const PATTERN = /^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(.+)$/;

/** VMID in the name of a disk or cloud-init volume; undefined for archives, images and the like. */
export function ownerOfVolume(volumeId: string): number | undefined {
  const match = /^[^:]+:(?:\d+\/)?(?:vm|base)-(\d+)-[^/]+$/.exec(volumeId);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

export function isVolumeId(text: string): boolean {
  return PATTERN.test(text);
}

/** @throws Error with PVE's text for anything else. */
export function parseVolumeId(text: string): VolumeId {
  const match = PATTERN.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) throw new Error(`unable to parse volume ID '${text}'`);
  return { storage: match[1], name: match[2] };
}
