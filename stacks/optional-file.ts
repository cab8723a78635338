import { existsSync, readFileSync } from "node:fs";

/** Text of a file that need not exist; undefined where it does not. */
export function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
