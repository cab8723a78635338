/**
 * Logs that tell why a guest did not come up: the serial consoles of a lab's VMs above all. Only a lab has them, because Proxmox'
 * API gives no console's past.
 */
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { causeOf } from "../errors";
import type { Progress } from "../progress";
import type { LabPaths } from "./paths";

/** Where the console of each VM of a running lab is written; for people. */
export function consoleFiles({ dir }: LabPaths): string {
  return join(dir, "run", "<VMID>.console.log");
}

/**
 * Keeps the lab's logs beside the one of a failed run, before the lab goes with them, and says where the consoles are. A log that
 * can't be kept is told and not thrown: that would hide why the run failed.
 */
export function keepLogs(paths: LabPaths, progress: Progress): void {
  const run = join(paths.dir, "run");
  const names = orTell(run, progress, () => (existsSync(run) ? readdirSync(run) : [])) ?? [];
  const machines = names.filter((name) => /^\d+\.(?:console|qemu)\.log$/.test(name)).map((name) => join(run, name));
  for (const file of [paths.logFile, paths.requestLog, ...machines]) {
    orTell(file, progress, () => {
      if (!existsSync(file)) return;
      const copy = `${progress.logFile}.${basename(file)}`;
      copyFileSync(file, copy);
      if (file.endsWith(".console.log")) progress.line(`console  ${copy}`);
    });
  }
}

function orTell<T>(path: string, progress: Progress, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    progress.line(
      `Unable to keep ${path} beside ${progress.logFile}: ${causeOf(error)}. Make room or clear that path for the next run.`,
    );
    return undefined;
  }
}
