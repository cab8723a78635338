/** Starts backup jobs at their times, as `pvescheduler` does: once a minute it looks which jobs became due. */
import { type BackupJob } from "./backup-jobs";
import { nextEvent, parseCalendarEvent } from "./calendar-event";
import { type Lab } from "./context";
import { messageOf } from "./errors";

const INTERVAL_MS = 20_000;

/** When a job runs next, after the time at which it was last due. */
export function nextRun(job: BackupJob, after: Date): Date | undefined {
  const { schedule, enabled } = job.options;
  if (typeof schedule !== "string" || enabled === false) return undefined;
  return nextEvent(parseCalendarEvent(schedule), after);
}

/**
 * Looks for due jobs until disposed. A time that passed while the lab was down is made up for only with `repeat-missed`.
 *
 * @param run Starts a job's backup.
 */
export function startScheduler(lab: Lab, run: (job: BackupJob) => void, log: (line: string) => void): Disposable {
  const bootedAt = lab.now().getTime();
  const timer = setInterval(() => {
    runDueJobs(lab, bootedAt, run, log);
  }, INTERVAL_MS);
  return {
    [Symbol.dispose](): void {
      clearInterval(timer);
    },
  };
}

/** One look at all jobs. A job seen for the first time waits for its next time. */
export function runDueJobs(
  lab: Lab,
  bootedAt: number,
  run: (job: BackupJob) => void,
  log: (line: string) => void,
): void {
  const now = lab.now();
  for (const job of lab.jobs.list()) {
    const known = lab.jobs.lastRun(job.id);
    if (known === undefined) {
      lab.jobs.setLastRun(job.id, Math.floor(now.getTime() / 1000));
      continue;
    }
    const since = job.options["repeat-missed"] === true ? known * 1000 : Math.max(known * 1000, bootedAt);
    try {
      const due = nextRun(job, new Date(since));
      if (due === undefined || due > now) continue;
      lab.jobs.setLastRun(job.id, Math.floor(now.getTime() / 1000));
      run(job);
    } catch (error) {
      log(`backup job ${job.id}: ${messageOf(error)}`);
    }
  }
}
