/** A project folder with the code of this repository and the stack files and catalogue of another homelab. */
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ServiceSpec } from "../../services/spec";

const REPO_DIR = resolve(__dirname, "../..");

/** Folders that find the project by their own path; everything else is linked. */
const COPIED = ["stacks", "services"];
const LINKED = [
  "cli",
  "components",
  "lab",
  "policy",
  "node_modules",
  "provider",
  "pve",
  "toolchain",
  "package.json",
  "tsconfig.json",
];

/** Writes the folder. `files`: folder with the `Pulumi*.yaml` files. */
export function writeProjectFolder(dir: string, files: string, catalogue: readonly ServiceSpec[]): void {
  mkdirSync(dir, { recursive: true });
  for (const name of COPIED) {
    cpSync(join(REPO_DIR, name), join(dir, name), {
      recursive: true,
      filter: (source) => !isService(source),
    });
  }
  for (const name of LINKED) symlinkSync(join(REPO_DIR, name), join(dir, name));
  for (const name of readdirSync(files).filter((file) => file.endsWith(".yaml")))
    cpSync(join(files, name), join(dir, name));
  for (const spec of catalogue) {
    writeFileSync(join(dir, "services", `${spec.name}.ts`), `export default ${JSON.stringify(spec, undefined, 2)};\n`);
  }
}

/** Whether a path is a service file of the repository's own catalogue. */
function isService(path: string): boolean {
  const file = /\/services\/([\w-]+)\.ts$/.exec(path)?.[1];
  return file !== undefined && !["catalogue", "spec"].includes(file);
}
