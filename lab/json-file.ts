/** Small state files of the lab: read whole, written atomically. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** The file's JSON, or undefined when there is none. The lab is the only writer, so the content has the type it was written with. */
export function readJsonFile(path: string): unknown {
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as unknown) : undefined;
}

/** Replaces the file at once: readers see the old or the new content. */
export function writeJsonFile(path: string, value: unknown): void {
  writeTextFile(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

/** Replaces the file at once: readers see the old or the new content. */
export function writeTextFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
