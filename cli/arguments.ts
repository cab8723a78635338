/** Values on the command line. Each gives the value, or an error that says what is expected. */
import { InvalidArgumentError } from "commander";

/** Name of a lab. */
export function parseId(value: string): string {
  if (/^[a-z0-9]{1,20}$/.test(value)) return value;
  throw new InvalidArgumentError("1 to 20 lower-case letters and digits are expected.");
}

/** How many. */
export function parseCount(value: string): number {
  if (/^[1-9]\d{0,2}$/.test(value)) return Number(value);
  throw new InvalidArgumentError("A number from 1 to 999 is expected.");
}

/** A moment; ISO 8601. */
export function parseTime(value: string): string {
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(value))) {
    return value;
  }
  throw new InvalidArgumentError("A time with zone is expected, such as 2026-11-20T02:00:00+01:00.");
}

/** Names with commas between. */
export function parseList(value: string): string[] {
  const items = value.split(",").map((item) => item.trim());
  if (!items.includes("")) return items;
  throw new InvalidArgumentError("Names with commas between are expected.");
}
