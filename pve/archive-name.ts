/** Names of vzdump archives of VMs. Source: pve-storage `PVE::Storage::archive_info`. */

export type ArchiveFormat = "vma" | "vma.zst" | "vma.gz" | "vma.lzo";

export interface ArchiveName {
  vmId: number;
  /** Start of the backup, read as if the node's local time were this process's. */
  time: Date;
  /** The name's wall clock read as UTC, in seconds: comparable with a `ctime` without knowing the node's time zone. */
  wallClockSeconds: number;
  format: ArchiveFormat;
}

const PATTERN =
  /(?:^|\/)vzdump-qemu-([1-9][0-9]{2,8})-(\d{4})_(\d{2})_(\d{2})-(\d{2})_(\d{2})_(\d{2})\.(vma(?:\.(?:zst|gz|lzo))?)$/;

/** Reads a volume id, path or bare file name; undefined for anything but a finished standard VM archive. */
export function parseArchiveName(name: string): ArchiveName | undefined {
  const match = PATTERN.exec(name.replace(/^[^/:]+:/, ""));
  if (match === null) return undefined;
  const [, vmId, year, month, day, hour, minute, second, format] = match;
  const fields = [Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)] as const;
  const utc = new Date(Date.UTC(...fields));
  if (utc.getUTCMonth() !== fields[1] || utc.getUTCDate() !== fields[2] || fields[3] > 23 || fields[4] > 59)
    return undefined;
  return {
    vmId: Number(vmId),
    time: new Date(...fields),
    wallClockSeconds: utc.getTime() / 1000,
    format: format as ArchiveFormat,
  };
}

/** Bare file name of an archive that starts at this time (printed in the process's local time, as PVE does). */
export function printArchiveName(vmId: number, time: Date, format: ArchiveFormat): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${time.getFullYear()}_${two(time.getMonth() + 1)}_${two(time.getDate())}`;
  const clock = `${two(time.getHours())}_${two(time.getMinutes())}_${two(time.getSeconds())}`;
  return `vzdump-qemu-${vmId}-${date}-${clock}.${format}`;
}

/**
 * Whether the name's local time and the API's `ctime` (seconds since the epoch) are the same moment: they may differ by a
 * UTC offset, that is, by a whole number of quarter hours between -12 and +14 hours, and by nothing else.
 */
export function agreesWithCtime(name: ArchiveName, ctime: number): boolean {
  const offset = name.wallClockSeconds - ctime;
  return offset % 900 === 0 && offset >= -12 * 3600 && offset <= 14 * 3600;
}
