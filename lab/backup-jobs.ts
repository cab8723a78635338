/** Backup jobs of the cluster (`jobs.cfg`), as `/cluster/backup` shows and changes them. */
import { join } from "node:path";
import { z } from "zod";
import { splitList } from "./params";
import { readJsonFile, writeJsonFile } from "./json-file";

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
    const { [id]: _, ...lastRuns } = this.state.lastRuns;
    this.save({ jobs: this.state.jobs.filter((job) => job.id !== id), lastRuns });
  }

  /**
   * A purged guest leaves every job's list and exclusions. A job whose list becomes empty is removed
   * (PVE::VZDump::Plugin `remove_vmid_from_backup_jobs`).
   */
  forgetGuest(vmId: number): void {
    const jobs = this.state.jobs.flatMap((job) => {
      const options = { ...job.options };
      for (const key of ["vmid", "exclude"]) {
        const list = options[key];
        if (typeof list !== "string") continue;
        const rest = splitList(list).filter((id) => Number(id) !== vmId);
        if (rest.length > 0) options[key] = rest.join(",");
        else if (key === "vmid") return [];
        else delete options[key];
      }
      return [{ ...job, options }];
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
