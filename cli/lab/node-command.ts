import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** The clone that this code belongs to. */
export const REPO_DIR = resolve(__dirname, "../..");

/** Program and arguments that run a TypeScript file of the clone with this Node, from any working folder. */
export function nodeCommand(script: string, args: readonly string[] = [], repoDir: string = REPO_DIR): string[] {
  const tsx = createRequire(join(repoDir, "package.json")).resolve("tsx");
  return [process.execPath, "--import", pathToFileURL(tsx).href, join(repoDir, script), ...args];
}
