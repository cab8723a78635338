/** Which declared backup job is meant, and what it asks of vzdump. */
import type { PveParameters } from "../pve/client";
import { type BackupJob, type JobGuest, takenBy } from "../pve/cluster/backup";
import { printPropertyString } from "../pve/property-string";
import { CliError } from "./errors";

/** Fields of a job that say when it runs, not what it does (pve-manager, www/manager6/dc/Backup.js, "Run now"). */
const SCHEDULE_FIELDS = new Set([
  ...["enabled", "starttime", "dow", "id", "schedule", "type", "node", "comment", "next-run", "repeat-missed"],
]);

/**
 * The one job that backs the guest up. One that names it counts before those that take a pool or everything, because a run of
 * these backs up other guests too. Throws with what there is when it is not exactly one.
 */
export function chooseJob(jobs: readonly BackupJob[], guest: JobGuest, wanted: string | undefined): BackupJob {
  const subject = `Unable to back up VM ${guest.vmId}`;
  if (wanted !== undefined) {
    const job = jobs.find(({ id }) => id === wanted);
    if (job === undefined) throw new CliError(`${subject}: there is no job "${wanted}". Jobs: ${printIds(jobs)}.`);
    if (takenBy(job, guest) !== undefined) return job;
    throw new CliError(
      `${subject}: job ${wanted} does not take it. Choose another with --job. Jobs: ${printIds(jobs)}.`,
    );
  }
  const naming = jobs.filter((job) => takenBy(job, guest) === "vmid");
  const covering = naming.length > 0 ? naming : jobs.filter((job) => takenBy(job, guest) !== undefined);
  const [job, ...others] = covering;
  if (job === undefined) {
    throw new CliError(`${subject}: no backup job takes it. Jobs: ${printIds(jobs)}. Run \`pulumi up -s prod\` first.`);
  }
  if (others.length > 0) {
    throw new CliError(`${subject}: several jobs take it (${printIds(covering)}). Choose one with --job.`);
  }
  return job;
}

/** Throws when the job writes where no drill would look. */
export function requireStorage(job: BackupJob, vmId: number, storage: string): void {
  const written = job["storage"];
  if (written === storage) return;
  const where = typeof written === "string" ? `writes to storage "${written}"` : "names no storage";
  throw new CliError(
    `Unable to back up VM ${vmId}: job ${job.id} ${where}, but homelab:backupStorage is "${storage}". ` +
      "Run `pulumi up -s prod` to bring the job back to what is declared, or choose another job with --job.",
  );
}

/** The parameters of vzdump that a job stands for: without its schedule, with nested objects as property strings. */
export function runNowParameters(job: BackupJob): PveParameters {
  const entries = Object.entries(job).flatMap(([key, value]): [string, string | number | readonly string[]][] => {
    if (SCHEDULE_FIELDS.has(key) || value === undefined || value === null) return [];
    if (Array.isArray(value)) return [[key, value.map(textOf)]];
    if (typeof value === "object") {
      const fields = Object.entries(value).map(([name, field]): [string, string] => [name, textOf(field)]);
      return [[key, printPropertyString(Object.fromEntries(fields))]];
    }
    return [[key, typeof value === "number" ? value : textOf(value)]];
  });
  return Object.fromEntries(entries);
}

/** A plain value in PVE's form: booleans are 1 and 0. */
function textOf(value: unknown): string {
  if (typeof value === "boolean") return value ? "1" : "0";
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function printIds(jobs: readonly BackupJob[]): string {
  return jobs.length === 0 ? "none" : jobs.map(({ id }) => id).join(", ");
}
