/** Backup jobs of the cluster (`jobs.cfg`), as `/cluster/backup` shows and changes them. */
import { join } from "node:path";
import { z } from "zod";
import { splitList } from "./params";
import { readJsonFile, writeJsonFile } from "./json-file";
import { without } from "./without";

const valueSchema = z.union([z.string(), z.number(), z.boolean()]);
const jobSchema = z.strictObject({
  id: z.string(),
  /** Every option as it was set, by PVE's name. */
  options: z.record(z.string(), valueSchema),
});

/** One job. */
export type BackupJob = z.infer<typeof jobSchema>;

const stateSchema = z.strictObject({
  jobs: z.array(jobSchema),
  /** Seconds since the epoch of the last scheduled time that was looked at, by job. */
  lastRuns: z.record(z.string(), z.number()),
});

/** Jobs by id, kept in `<dir>/etc/jobs.json`. */
export class BackupJobs {
  private readonly file: string;
  private state: z.infer<typeof stateSchema>;

  constructor(dir: string) {
    this.file = join(dir, "etc", "jobs.json");
    this.state = stateSchema.parse(readJsonFile(this.file) ?? { jobs: [], lastRuns: {} });
  }

  list(): readonly BackupJob[] {
    return this.state.jobs;
  }

  find(id: string): BackupJob | undefined {
    return this.state.jobs.find((job) => job.id === id);
  }

  put(job: BackupJob): void {
    this.save({ jobs: [...this.state.jobs.filter(({ id }) => id !== job.id), job] });
  }

  remove(id: string): void {
    const jobs = this.state.jobs.filter((job) => job.id !== id);
    this.save({ jobs, lastRuns: without(this.state.lastRuns, id) });
  }

  /**
   * A purged guest leaves every job's list and exclusions. A job whose list becomes empty is removed
   * (PVE::VZDump::Plugin `remove_vmid_from_backup_jobs`).
   */
  forgetGuest(vmId: number): void {
    const jobs = this.state.jobs.flatMap((job) => {
      const listed = leave(job.options["vmid"], vmId);
      if (listed === "") return [];
      const excluded = leave(job.options["exclude"], vmId);
      return [
        {
          ...job,
          options: {
            ...without(job.options, "vmid", "exclude"),
            ...(listed === undefined ? {} : { vmid: listed }),
            ...(excluded === undefined || excluded === "" ? {} : { exclude: excluded }),
          },
        },
      ];
    });
    this.save({ jobs });
  }

  lastRun(id: string): number | undefined {
    return this.state.lastRuns[id];
  }

  setLastRun(id: string, epochSeconds: number): void {
    this.save({ lastRuns: { ...this.state.lastRuns, [id]: epochSeconds } });
  }

  private save(change: Partial<z.infer<typeof stateSchema>>): void {
    this.state = { ...this.state, ...change };
    writeJsonFile(this.file, this.state);
  }
}

/** A list of guests without one of them. */
function leave(list: unknown, vmId: number): string | undefined {
  if (typeof list !== "string") return undefined;
  return splitList(list)
    .filter((id) => Number(id) !== vmId)
    .join(",");
}
