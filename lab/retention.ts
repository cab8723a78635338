/** The `prune-backups` property string (PVE::Storage::Plugin `validate_prune_backups`). */
import { parsePropertyString } from "../pve/property-string";
import { type Retention } from "./backup/types";

/** Every option of a retention that counts, by its name in PVE. */
export const KEEP_OPTIONS = {
  "keep-last": "keepLast",
  "keep-hourly": "keepHourly",
  "keep-daily": "keepDaily",
  "keep-weekly": "keepWeekly",
  "keep-monthly": "keepMonthly",
  "keep-yearly": "keepYearly",
} as const satisfies Record<string, keyof Retention>;

/** Reads `keep-last=3,keep-daily=7`. @throws Error with PVE's text. */
export function parseRetention(text: string): Retention {
  const { "keep-all": keepAll, ...counts } = parsePropertyString(text);
  const retention: { -readonly [K in keyof Retention]: Retention[K] } = {};
  for (const [name, value] of Object.entries(counts)) {
    const option = Object.entries(KEEP_OPTIONS).find(([known]) => known === name)?.[1];
    if (option === undefined)
      throw new Error(
        `invalid format - ${name}: property is not defined in schema and the schema does not allow additional properties`,
      );
    if (!/^\d+$/.test(value))
      throw new Error(`invalid format - ${name}: type check ('integer') failed - got '${value}'`);
    retention[option] = Number(value);
  }
  if (keepAll === undefined) return retention;
  if (!/^[01]$/.test(keepAll))
    throw new Error(`invalid format - keep-all: type check ('boolean') failed - got '${keepAll}'`);
  if (keepAll === "1" && Object.values(retention).some((count) => Number(count) > 0))
    throw new Error("keep-all cannot be set together with other options.");
  return { ...retention, keepAll: keepAll === "1" };
}
