/** Names of vzdump archives of VMs. Source: pve-storage `PVE::Storage::archive_info`. */

export type ArchiveFormat = "vma" | "vma.zst" | "vma.gz" | "vma.lzo";

export interface ArchiveName {
  vmId: number;
  /** Start of the backup, from the name, which is in the node's local time. Seconds since the epoch. */
  time: number;
  format: ArchiveFormat;
}

const PATTERN =
  /(?:^|\/)vzdump-qemu-([1-9][0-9]{2,8})-(\d{4})_(\d{2})_(\d{2})-(\d{2})_(\d{2})_(\d{2})\.(vma(?:\.(?:zst|gz|lzo))?)$/;

/** Reads a volume id, path or bare file name; undefined for anything but a finished standard VM archive. */
export function parseArchiveName(name: string): ArchiveName | undefined {
  const match = PATTERN.exec(name.replace(/^[^/:]+:/, ""));
  if (match === null) return undefined;
  const [, vmId, year, month, day, hour, minute, second, format] = match;
  const local = new Date(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  return { vmId: Number(vmId), time: Math.floor(local.getTime() / 1000), format: format as ArchiveFormat };
}

/** Bare file name of an archive that starts at this time (printed in the process's local time, as PVE does). */
export function printArchiveName(vmId: number, time: Date, format: ArchiveFormat): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${time.getFullYear()}_${two(time.getMonth() + 1)}_${two(time.getDate())}`;
  const clock = `${two(time.getHours())}_${two(time.getMinutes())}_${two(time.getSeconds())}`;
  return `vzdump-qemu-${vmId}-${date}-${clock}.${format}`;
}
