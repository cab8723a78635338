/**
 * A consistent copy of a running guest's disks: one QMP transaction starts a `drive-backup` of all of them at the same
 * moment, and QEMU copies what the guest overwrites before it does. Real PVE streams into the archive from a patched QEMU;
 * stock QEMU needs the copy in between.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type Qmp } from "../types";

const POLL_MS = 100;
const CANCEL_TIMEOUT_MS = 60_000;
const JOB_PREFIX = "vzdump-";

export interface DiskCopy {
  /** QMP drive id, `drive-scsi0`. */
  readonly driveId: string;
  /** File that QEMU makes, in format qcow2, so that zeros of the disk take no space. */
  readonly target: string;
}

interface JobInfo {
  readonly id: string;
  readonly status: string;
  readonly error?: string;
  readonly "current-progress"?: number;
  readonly "total-progress"?: number;
}

async function ownJobs(qmp: Qmp): Promise<JobInfo[]> {
  const jobs = await qmp.execute<JobInfo[]>("query-jobs");
  return jobs.filter((job) => job.id.startsWith(JOB_PREFIX));
}

/**
 * Ends backup jobs of this machine, left over or failed, and waits until they are gone. True when there were any. Rejects when
 * the machine ends, or when QEMU keeps a job for a minute.
 */
export async function cancelCopies(qmp: Qmp): Promise<boolean> {
  let refused = "";
  for (let attempt = 0; attempt < CANCEL_TIMEOUT_MS / POLL_MS; attempt++) {
    const jobs = await ownJobs(qmp);
    if (jobs.length === 0) return attempt > 0;
    for (const job of jobs) {
      const command = job.status === "concluded" ? "job-dismiss" : "job-cancel";
      // Jobs of one transaction end together: one that was running a moment ago may refuse now.
      await qmp.execute(command, { id: job.id }).catch((error: unknown) => {
        refused = error instanceof Error ? error.message : String(error);
      });
    }
    await delay(POLL_MS);
  }
  throw new Error(`unable to cancel the backup jobs in QEMU - got timeout ${refused}`.trimEnd());
}

/** Starts the copies at one moment. `bytesPerSecond` 0 is unlimited. Rejects with QMP's text; then none runs. */
export async function startCopies(qmp: Qmp, copies: readonly DiskCopy[], bytesPerSecond: number): Promise<void> {
  await qmp.execute("transaction", {
    actions: copies.map((copy) => ({
      type: "drive-backup",
      data: {
        "job-id": `${JOB_PREFIX}${copy.driveId}`,
        device: copy.driveId,
        target: copy.target,
        sync: "full",
        format: "qcow2",
        mode: "absolute-paths",
        speed: bytesPerSecond,
        "auto-dismiss": false,
      },
    })),
    properties: { "completion-mode": "grouped" },
  });
}

/**
 * Waits until all copies are complete. Rejects with the first job's error, the abort reason, or when the machine ends;
 * `cancelCopies` cleans up after that.
 */
export async function waitForCopies(qmp: Qmp, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const jobs = await ownJobs(qmp);
    const failed =
      jobs.find((job) => job.error !== undefined && job.error !== "Operation canceled") ??
      jobs.find((job) => job.error);
    if (failed?.error !== undefined) throw new Error(`job failed with err - ${failed.id}: ${failed.error}`);
    if (jobs.length > 0 && jobs.every((job) => job.status === "concluded")) {
      for (const job of jobs) await qmp.execute("job-dismiss", { id: job.id });
      return;
    }
    if (jobs.length === 0) throw new Error("got unexpected status 'no backup job in QEMU'");
    await delay(POLL_MS, undefined, { signal });
  }
}
