import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { consoleFiles } from "./consoles";
import { shellCommand, stopCommand } from "./hints";
import { attachInside } from "./inside";
import { labPaths, type LabPaths } from "./paths";

/** A shell has the token of one of the two, as the operator's own has; it begins with production's. */
const EXAMPLES = [
  "pulumi preview -s prod     homelab backup now",
  "drills have a token of their own: . ~/drill.env (back: . ~/prod.env)",
  "pulumi up -s drill     pulumi destroy -s drill     homelab drill",
];

/** What to type in a lab that was left running. */
export function printShellHint(id: string): string[] {
  return [
    "",
    `The lab runs. A shell in it: ${shellCommand(id)}`,
    ...EXAMPLES.map((line) => `    ${line}`),
    consolesHint(labPaths(id)),
    `End it, leaving nothing but the evidence: ${stopCommand(id)}`,
  ];
}

function consolesHint(paths: LabPaths): string {
  return `What its VMs write to their consoles: ${consoleFiles(paths)}`;
}

/** A shell in the lab's namespace with its environment, in its project folder. Returns the shell's exit code. */
export async function openLabShell(paths: LabPaths): Promise<number> {
  const rc = join(paths.home, ".bashrc");
  const banner = [
    "You are in the rehearsal lab: emulated Proxmox VE, no route to the real network. Leave with: exit",
    ...EXAMPLES.map((line) => `  ${line}`),
    consolesHint(paths),
  ];
  const lines = [...banner.map((line) => `echo '${line}'`), `PS1='(lab ${paths.id}) \\w\\$ '`];
  writeFileSync(rc, `${lines.join("\n")}\n`);
  return attachInside(paths, ["/bin/bash", "--rcfile", rc, "-i"]);
}
