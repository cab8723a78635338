/** Disk sizes as PVE writes them in drive options (`8G`). Source: pve-common `JSONSchema::parse_size` and `format_size`. */

const UNITS = ["", "K", "M", "G", "T"] as const;

/** Bytes. @throws Error for anything that PVE would not take. */
export function parseDiskSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT])?$/.exec(text);
  if (match === null)
    throw new Error(`Unable to read the disk size "${text}". Write a number with K, M, G, T or no unit.`);
  const unit = UNITS.indexOf((match[2] ?? "") as (typeof UNITS)[number]);
  return Math.floor(Number(match[1]) * 1024 ** unit);
}

/** The largest unit in which the size is a whole number. */
export function printDiskSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value > 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value}${UNITS[unit] ?? ""}`;
}
