/** What remains when a host is lost: the NAS, and what the operator has. */
import { cpSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Operator, RunningLab } from "../../cli/lab/up";

const NAS = "fs/mnt/pve/nas";
/** Name of the node that takes the lost one's place. */
export const OTHER_NODE = "pve2";

/** Copies it out of a lab: archives, recorded certificate, secrets and key. */
export function keepOutside({ paths, secrets }: RunningLab, dir: string): void {
  renameSync(join(paths.dir, NAS), join(dir, "nas"));
  cpSync(join(paths.project, "trust"), join(dir, "trust"), { recursive: true });
  cpSync(paths.sshKey, join(dir, "id_ed25519"));
  writeFileSync(join(dir, "secrets.json"), JSON.stringify(secrets), { mode: 0o600 });
}

export function operatorIn(dir: string): Operator {
  const secrets = z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(join(dir, "secrets.json"), "utf8")));
  return { secrets, sshKeyFile: join(dir, "id_ed25519") };
}

/** Puts NAS and certificate where another lab has them. */
export function bringBack(dir: string, { paths }: RunningLab): void {
  cpSync(join(dir, "nas"), join(paths.dir, NAS), { recursive: true });
  cpSync(join(dir, "trust"), join(paths.project, "trust"), { recursive: true });
}

/** The one line that an operator changes for another node. */
export function moveToNode(projectDir: string, node: string): void {
  const file = join(projectDir, "Pulumi.yaml");
  const text = readFileSync(file, "utf8");
  const moved = text.replace(/(homelab:node:\s+value: )\S+/, `$1${node}`);
  if (moved === text) throw new Error(`Unable to move ${file} to node ${node}: it has no homelab:node.`);
  writeFileSync(file, moved);
}

/** Archives on the NAS of a lab, oldest first. */
export function archivesOn(labDir: string): string[] {
  return readdirSync(join(labDir, NAS, "dump"))
    .filter((name) => name.endsWith(".vma.zst"))
    .sort();
}
