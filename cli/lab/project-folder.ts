import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runOrThrow } from "../command";
import { nodeCommand } from "./node-command";
import { buildOverlay, printOverlay, type OverlayArgs } from "./overlay";
import type { LabPaths } from "./paths";
import { applyOverlay, type StackFiles } from "./stack-files";

/** What the stacks' program needs beside the stack files; linked, so that an edit in the clone takes effect at once. */
const LINKED = [
  ...["stacks", "components", "services", "provider", "pve", "policy"],
  ...["node_modules", "package.json", "tsconfig.json"],
];

/** Makes the lab's key, or takes the one that its operator has, and returns its public line. */
export async function makeSshKey(paths: LabPaths, existing?: string): Promise<string> {
  await mkdir(join(paths.home, ".ssh"), { recursive: true, mode: 0o700 });
  if (existing !== undefined) await copyFile(existing, paths.sshKey);
  else
    await runOrThrow("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", `homelab-${paths.id}`, "-f", paths.sshKey]);
  await chmod(paths.sshKey, 0o600);
  return (await runOrThrow("ssh-keygen", ["-y", "-f", paths.sshKey])).trim();
}

/** Writes the lab's project folder and its `homelab` command; returns the overlay as people read it. */
export async function writeProject(
  paths: LabPaths,
  repoDir: string,
  files: StackFiles,
  args: OverlayArgs,
): Promise<string> {
  const overlay = buildOverlay(args);
  const text = printOverlay(overlay, files.stacks);
  await mkdir(join(paths.project, "trust"), { recursive: true });
  await writeFile(join(paths.project, "Pulumi.yaml"), files.project);
  for (const [stack, original] of Object.entries(files.texts)) {
    await writeFile(join(paths.project, `Pulumi.${stack}.yaml`), applyOverlay(original, overlay[stack] ?? {}));
  }
  for (const name of LINKED) {
    if (existsSync(join(repoDir, name))) await symlink(join(repoDir, name), join(paths.project, name));
  }
  await writeFile(paths.overlayFile, text);
  const homelab = nodeCommand("cli/main.ts", [], repoDir).map((word) => `'${word}'`);
  await mkdir(paths.bin, { recursive: true });
  await writeFile(join(paths.bin, "homelab"), `#!/bin/sh\nexec ${homelab.join(" ")} "$@"\n`, { mode: 0o755 });
  return text;
}
