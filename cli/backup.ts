/** Proxmox has no call that runs a declared backup job; this does what its web interface does behind "Run now". */
import { setTimeout as sleep } from "node:timers/promises";
import { PveClient } from "../pve/client";
import { backupJobs } from "../pve/cluster/backup";
import { findGuest } from "../pve/cluster/resources";
import { type BackupItem, listBackups } from "../pve/nodes/storage";
import { PveTaskFailed, PveTaskTimeout, stopTask, taskLog, waitForTask } from "../pve/nodes/tasks";
import { startBackup } from "../pve/nodes/vzdump";
import type { ProdConfig } from "../stacks/config";
import { chooseJob, requireStorage, runNowParameters } from "./backup-job";
import { CliError, Interrupted, causeOf } from "./errors";
import { duration, type Progress, type Step } from "./progress";

export interface BackupNowArgs {
  readonly config: Pick<ProdConfig, "dockerVm" | "backupStorage">;
  /** Id of the job; needed only when several jobs back the VM up. */
  readonly job?: string;
  readonly progress: Progress;
  /** Stops the backup; its reason is an `Interrupted`. */
  readonly signal?: AbortSignal;
  readonly client?: PveClient;
}

const TASK_TIMEOUT_MS = 4 * 60 * 60 * 1000;
/** How long a stopped backup may take to thaw the guest and to remove its unfinished archive. */
const STOP_TIMEOUT_MS = 60_000;

/** Runs the declared job of the Docker VM at once and returns the new archive, verified on the storage. */
export async function backupNow(args: BackupNowArgs): Promise<BackupItem> {
  const client = args.client ?? new PveClient();
  const { vmId } = args.config.dockerVm;
  const storage = args.config.backupStorage;
  const guest = await findGuest(client, vmId);
  if (guest === undefined) {
    throw new CliError(
      `Unable to back up VM ${vmId}: there is no such VM, or the token may not see it. Run \`pulumi up -s prod\` first.`,
    );
  }
  const { node, pool } = guest;
  const job = chooseJob(await backupJobs(client), { vmId, node, pool }, args.job);
  requireStorage(job, vmId, storage);
  const before = new Set((await listBackups(client, node, storage, vmId)).map(({ volid }) => volid));
  const newest = async (): Promise<BackupItem | undefined> => {
    const added = (await listBackups(client, node, storage, vmId)).filter(({ volid }) => !before.has(volid));
    return added.sort((a, b) => b.ctime - a.ctime)[0];
  };
  return args.progress.step(`backup of VM ${vmId} by job ${job.id}`, async (step) => {
    const start = Date.now();
    args.signal?.throwIfAborted();
    const upid = await startBackup(client, node, runNowParameters(job));
    if (upid === "OK") {
      throw new CliError(
        `Unable to back up VM ${vmId}: job ${job.id} takes no guest of node ${node}. Run \`pulumi up -s prod\`.`,
      );
    }
    await followTask(client, upid, args.signal, step).catch(async (error: unknown) => {
      // By the signal, not by the error: an ended pause throws an abort error of Node's.
      const reason: unknown = args.signal?.reason;
      throw reason instanceof Interrupted
        ? await stopped({ client, node, upid, vmId, newest }, reason)
        : failure(vmId, error);
    });
    const archive = await newest();
    if (archive === undefined || archive.size === 0) {
      throw new CliError(
        `Unable to back up VM ${vmId}: the task ended well, but storage ${storage} shows ` +
          `${archive === undefined ? "no new archive" : `an empty ${archive.volid}`}. Look at the storage and at task ${upid}.`,
      );
    }
    step.line(`${archive.volid}, ${mebibytes(archive.size)} MiB in ${duration(Date.now() - start)}`);
    return archive;
  });
}

/** Shows the task's log as it grows; ends with the task. */
async function followTask(client: PveClient, upid: string, signal: AbortSignal | undefined, step: Step): Promise<void> {
  let seen = 0;
  const showNew = async (): Promise<void> => {
    const lines = (await taskLog(client, upid, seen)).filter((line) => line !== "no content");
    seen += lines.length;
    for (const line of lines) step.detail(line);
  };
  const end = waitForTask(client, upid, { timeoutMs: TASK_TIMEOUT_MS, signal });
  const ended = end.then(
    () => true,
    () => true, // awaited below; the log is followed meanwhile
  );
  do {
    await showNew().catch((error: unknown) => step.detail(`(the log can't be read: ${causeOf(error)})`));
  } while (!(await Promise.race([ended, sleep(1000, false)])));
  await end;
  await showNew().catch(() => undefined); // the outcome is known; these lines only explain it
}

interface RunningBackup {
  readonly client: PveClient;
  readonly node: string;
  readonly upid: string;
  readonly vmId: number;
  readonly newest: () => Promise<BackupItem | undefined>;
}

/** Ends the task of an interrupted backup and says what is left. */
async function stopped({ client, node, upid, vmId, newest }: RunningBackup, cause: Interrupted): Promise<Error> {
  try {
    await stopTask(client, node, upid, { timeoutMs: STOP_TIMEOUT_MS });
    const archive = await newest();
    const left = archive === undefined ? "there is no new archive" : `it had already made ${archive.volid}`;
    return new Interrupted(cause.signal, `The backup task of VM ${vmId} was stopped; ${left}.`);
  } catch (error) {
    return new CliError(
      `Unable to stop the backup of VM ${vmId}: ${causeOf(error)} Its task goes on in Proxmox. ` +
        `Stop it there, or on the node with: pvesh delete /nodes/${node}/tasks/${upid}`,
      { cause: error },
    );
  }
}

/** A task's end as people can act on it; other errors speak for themselves. */
function failure(vmId: number, error: unknown): unknown {
  if (error instanceof PveTaskFailed) {
    return new CliError(
      `Unable to back up VM ${vmId}: the task ${error.upid} failed: ${error.exitStatus.replace(/\.+$/, "")}. ` +
        `Mend what its log names and start again.${printLog(error.logTail)}`,
      { cause: error },
    );
  }
  if (error instanceof PveTaskTimeout) {
    return new CliError(
      `Unable to back up VM ${vmId}: the task ${error.upid} has not ended within ${duration(TASK_TIMEOUT_MS)}. ` +
        `It goes on in Proxmox; look at its log there, and stop it there if it hangs.${printLog(error.logTail)}`,
      { cause: error },
    );
  }
  return error;
}

function printLog(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `\nEnd of its log:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
