/** Proxmox has no call that runs a declared backup job; this does what its web interface does behind "Run now". */
import { setTimeout as sleep } from "node:timers/promises";
import { PveClient, type PveParameters } from "../pve/client";
import { backupJobs, type BackupJob } from "../pve/cluster/backup";
import { findGuest } from "../pve/cluster/resources";
import { type BackupItem, listBackups } from "../pve/nodes/storage";
import { taskLog, waitForTask } from "../pve/nodes/tasks";
import { startBackup } from "../pve/nodes/vzdump";
import { printPropertyString } from "../pve/property-string";
import type { ProdConfig } from "../stacks/config";
import { CliError, causeOf } from "./errors";
import { duration, type Progress } from "./progress";

export interface BackupNowArgs {
  readonly config: ProdConfig;
  /** Id of the job; needed only when several jobs back the VM up. */
  readonly job?: string;
  readonly progress: Progress;
  readonly client?: PveClient;
}

const TASK_TIMEOUT_MS = 4 * 60 * 60 * 1000;

/** Fields of a job that say when it runs, not what it does (pve-manager, www/manager6/dc/Backup.js, "Run now"). */
const SCHEDULE_FIELDS = new Set([
  ...["enabled", "starttime", "dow", "id", "schedule", "type", "node", "comment", "next-run", "repeat-missed"],
]);

/** Runs the declared job of the Docker VM at once and returns the new archive, verified on the storage. */
export async function backupNow(args: BackupNowArgs): Promise<BackupItem> {
  const client = args.client ?? new PveClient();
  const { vmId } = args.config.dockerVm;
  const storage = args.config.backupStorage;
  const subject = `back up VM ${vmId}`;
  const job = chooseJob(await backupJobs(client), vmId, args.job);
  const guest = await findGuest(client, vmId);
  if (guest === undefined) {
    throw new CliError(
      `Unable to ${subject}: there is no such VM, or the token may not see it. Run \`pulumi up -s prod\` first.`,
    );
  }
  const before = new Set((await listBackups(client, guest.node, storage, vmId)).map(({ volid }) => volid));
  return args.progress.step(`backup of VM ${vmId} by job ${job.id}`, async (step) => {
    const start = Date.now();
    const upid = await startBackup(client, guest.node, runNowParameters(job));
    if (upid === "OK") {
      throw new CliError(
        `Unable to ${subject}: job ${job.id} names no guest of node ${guest.node}. Run \`pulumi up -s prod\`.`,
      );
    }
    await followTask(client, upid, (line) => step.detail(line));
    const archives = await listBackups(client, guest.node, storage, vmId);
    const archive = archives.filter(({ volid }) => !before.has(volid)).sort((a, b) => b.ctime - a.ctime)[0];
    if (archive === undefined || archive.size === 0) {
      throw new CliError(
        `Unable to ${subject}: the task ended well, but storage ${storage} shows ` +
          `${archive === undefined ? "no new archive" : `an empty ${archive.volid}`}. Look at the storage and at task ${upid}.`,
      );
    }
    step.line(`${archive.volid}, ${mebibytes(archive.size)} MiB in ${duration(Date.now() - start)}`);
    return archive;
  });
}

/** The one job that backs the VM up. Throws with what there is when it is not exactly one. */
export function chooseJob(jobs: readonly BackupJob[], vmId: number, wanted: string | undefined): BackupJob {
  const subject = `Unable to back up VM ${vmId}`;
  if (wanted !== undefined) {
    const job = jobs.find(({ id }) => id === wanted);
    if (job !== undefined) return job;
    throw new CliError(`${subject}: there is no job "${wanted}". Jobs: ${printIds(jobs)}.`);
  }
  const covering = jobs.filter((job) => textOf(job["vmid"]).split(",").includes(String(vmId)));
  const [job, ...others] = covering;
  if (job === undefined) {
    throw new CliError(`${subject}: no backup job names it. Jobs: ${printIds(jobs)}. Run \`pulumi up -s prod\` first.`);
  }
  if (others.length > 0) {
    throw new CliError(`${subject}: several jobs name it (${printIds(covering)}). Choose one with --job.`);
  }
  return job;
}

/** The parameters of vzdump that a job stands for: without its schedule, with nested objects as property strings. */
export function runNowParameters(job: BackupJob): PveParameters {
  const entries = Object.entries(job).flatMap(([key, value]): [string, string | number | boolean][] => {
    if (SCHEDULE_FIELDS.has(key) || value === undefined || value === null) return [];
    if (typeof value === "object") {
      const fields = Object.entries(value).map(([name, field]): [string, string] => [name, textOf(field)]);
      return [[key, printPropertyString(Object.fromEntries(fields))]];
    }
    return typeof value === "number" || typeof value === "boolean" ? [[key, value]] : [[key, textOf(value)]];
  });
  return Object.fromEntries(entries);
}

async function followTask(client: PveClient, upid: string, onLine: (line: string) => void): Promise<void> {
  let seen = 0;
  const showNew = async (): Promise<void> => {
    const lines = (await taskLog(client, upid, seen)).filter((line) => line !== "no content");
    seen += lines.length;
    lines.forEach(onLine);
  };
  const end = waitForTask(client, upid, { timeoutMs: TASK_TIMEOUT_MS });
  const ended = end.then(
    () => true,
    () => true, // awaited below; the log is followed meanwhile
  );
  do {
    await showNew().catch((error: unknown) => onLine(`(the log can't be read: ${causeOf(error)})`));
  } while (!(await Promise.race([ended, sleep(1000, false)])));
  await end;
  await showNew();
}

function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : value === true ? "1" : "";
}

function printIds(jobs: readonly BackupJob[]): string {
  return jobs.length === 0 ? "none" : jobs.map(({ id }) => id).join(", ");
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
