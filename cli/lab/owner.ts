import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import type { LabPaths } from "./paths";
import { startTimeOf } from "./processes";

const ownerSchema = z.object({
  pid: z.number().int(),
  /** Clock ticks since boot; tells a reused pid apart. */
  startTime: z.string(),
  /** Left running on purpose (`--keep`, `lab up`); its owner may be gone. */
  kept: z.boolean(),
  /** The clone that it was started from. */
  repoDir: z.string(),
});
export type Owner = z.infer<typeof ownerSchema>;

export function writeOwner(paths: LabPaths, repoDir: string, kept: boolean): void {
  const owner: Owner = { pid: process.pid, startTime: startTimeOf(process.pid) ?? "", kept, repoDir };
  writeFileSync(paths.ownerFile, JSON.stringify(owner));
}

/** Undefined when there is no lab, or one that died before it could write this down. */
export function readOwner(paths: LabPaths): Owner | undefined {
  if (!existsSync(paths.ownerFile)) return undefined;
  try {
    return ownerSchema.parse(JSON.parse(readFileSync(paths.ownerFile, "utf8")));
  } catch {
    return undefined; // cut off in the middle of writing
  }
}

export function isAlive(owner: Owner): boolean {
  return startTimeOf(owner.pid) === owner.startTime;
}
