/** That no backup job takes the VM of a drill: its archive would look like a backup, and pruning could make room for it. */
import {
  type BackupJob,
  backupJobs,
  guestsWithoutJob,
  isEnabled,
  type JobGuest,
  takenBy,
  vmIdsIn,
} from "../pve/cluster/backup";
import type { PveClient } from "../pve/client";
import { PvePermissionDenied } from "../pve/errors";

/**
 * To be asked before a restore; changes nothing.
 *
 * @throws Error that names every job that would take the guest and what to type, or that the token can't see the jobs
 */
export async function requireNoJobFor(client: PveClient, guest: JobGuest): Promise<void> {
  const jobs = await seeingJobs(guest, async () => backupJobs(client));
  const problems = jobs.filter(isEnabled).flatMap((job) => jobProblem(job, guest));
  if (problems.length === 0) return;
  throw new Error(
    `Unable to begin a drill with VM ${guest.vmId} on ${guest.node}: ${problems.map(({ cause }) => cause).join("; ")}. ${adviceOf(problems)}`,
  );
}

/**
 * Why a restored VM is in a job all the same, as Proxmox itself counts; nothing if it is in none, or only in disabled ones.
 * Meant for what changed since the restore began, such as a pool that somebody put the VM into.
 */
export async function jobsAfterRestore(client: PveClient, guest: JobGuest): Promise<string[]> {
  const [free, jobs] = await seeingJobs(guest, async () => Promise.all([guestsWithoutJob(client), backupJobs(client)]));
  const taking = jobs.filter(isEnabled).flatMap((job) => jobProblem(job, guest));
  if (taking.length > 0) return taking.map(({ cause, remedy }) => `${cause} (${remedy})`);
  if (free.includes(guest.vmId)) return [];
  // Proxmox counts disabled jobs too.
  if (jobs.some((job) => !isEnabled(job) && takenBy(job, guest) !== undefined)) return [];
  return [
    "Proxmox counts it among the guests of a backup job, although no enabled one names it, its pool or all guests",
  ];
}

async function seeingJobs<T>({ vmId }: JobGuest, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof PvePermissionDenied)) throw error;
    throw new Error(
      `Unable to make sure that no backup job takes VM ${vmId}: the token may not see the backup jobs (${error.text.trim()}). ` +
        "Grant it Sys.Audit on / without propagation (npm run homelab -- roles).",
      { cause: error },
    );
  }
}

interface JobProblem {
  readonly cause: string;
  /** The command that takes the guest out of the job and leaves everything else in it. */
  readonly remedy: string;
}

function jobProblem(job: BackupJob, guest: JobGuest): JobProblem[] {
  const { vmId } = guest;
  const set = `pvesh set /cluster/backup/${job.id}`;
  const problem = (why: string, remedy: string): JobProblem[] => [{ cause: `backup job ${job.id} ${why}`, remedy }];
  switch (takenBy(job, guest)) {
    case undefined:
      return [];
    case "all":
      return problem(
        "takes all guests and so this one too",
        `${set} --exclude ${[...vmIdsIn(job, "exclude"), vmId].join(",")}`,
      );
    case "pool":
      return problem(
        `takes pool ${String(job["pool"])}, which the VM is in`,
        `${set} --enabled 0, or another pool for drills`,
      );
    case "vmid": {
      const others = vmIdsIn(job, "vmid").filter((id) => id !== vmId);
      const rest = others.length === 0 ? `pvesh delete /cluster/backup/${job.id}` : `${set} --vmid ${others.join(",")}`;
      return problem("names it", rest);
    }
  }
}

function adviceOf(problems: readonly JobProblem[]): string {
  return `Take it out, or its archive would pass for a backup; on the node: ${problems.map(({ remedy }) => remedy).join("; ")}`;
}
