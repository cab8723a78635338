import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CliError } from "../errors";
import { deleteNamespace, namespaceExists } from "./namespace";
import { isAlive, readOwner } from "./owner";
import type { LabPaths } from "./paths";
import { endProcesses, processesOf, signal } from "./processes";

/** Grace that the lab's daemon and its machines get to end by themselves. */
const GRACE_MS = 8_000;
/** Grace for another process that is just tearing the lab down. */
const OWNER_GRACE_MS = 30_000;

/** What there was to take down, as it was before anything was ended. */
export interface LabRemains {
  /** Folder of the clone that started it; undefined where nothing tells. */
  readonly repoDir: string | undefined;
  /** Its owner's process included. */
  readonly processes: number;
  readonly namespace: boolean;
  readonly files: boolean;
}

/**
 * Ends a lab and everything that belongs to it: its owner, all its processes, its namespace and its files. Works on what
 * a crash left, and is no error when there is nothing. Evidence and caches lie elsewhere and stay.
 */
export async function takeLabDown(paths: LabPaths, log: (line: string) => void = () => undefined): Promise<LabRemains> {
  const owner = readOwner(paths);
  const isRun = owner !== undefined && owner.pid !== process.pid && isAlive(owner);
  const found = new Set(await processesOf(paths.id, paths.namespace));
  if (isRun) found.add(owner.pid);
  const remains = {
    repoDir: owner?.repoDir,
    processes: found.size,
    namespace: namespaceExists(paths),
    files: existsSync(paths.dir),
  };
  if (isRun) {
    log(`asking process ${owner.pid}, which runs the lab "${paths.id}" from ${owner.repoDir}, to end`);
    signal(owner.pid, "SIGTERM");
    const deadline = Date.now() + OWNER_GRACE_MS;
    while (isAlive(owner) && Date.now() < deadline) await sleep(100);
    if (isAlive(owner)) signal(owner.pid, "SIGKILL");
  }
  await endProcesses(() => processesOf(paths.id, paths.namespace), GRACE_MS);
  await deleteNamespace(paths);
  await rm(paths.dir, { recursive: true, force: true });
  const left = await processesOf(paths.id, paths.namespace);
  if (left.length > 0 || namespaceExists(paths) || existsSync(paths.dir)) {
    throw new CliError(
      `Unable to take the lab "${paths.id}" down: ${left.length} processes (${left.join(", ")}), namespace ` +
        `${namespaceExists(paths) ? "still there" : "gone"}, folder ${existsSync(paths.dir) ? "still there" : "gone"}. ` +
        "Run it again; if that does not help, look at these processes.",
    );
  }
  return remains;
}

/** What was taken down, in one sentence. */
export function takenDown(id: string, { repoDir, processes, namespace, files }: LabRemains): string {
  if (processes === 0 && !namespace && !files) return `There was no lab "${id}".`;
  const origin = repoDir === undefined ? "nothing tells from which folder it was started" : `started from ${repoDir}`;
  return `The lab "${id}" is gone (${origin}; processes ended: ${processes}).`;
}
