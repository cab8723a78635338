/** The backup engine: what the API's tasks `vzdump` and `qmrestore` do. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type TaskContext } from "../types";
import { GuestBackup } from "./guest-backup";
import { JobLock } from "./job-lock";
import { extractConfig, restoreArchive } from "./restore";
import { type BackupEngine, type BackupEngineArgs, type VzdumpRequest } from "./types";

const DEFAULT_LOCK_WAIT_MINUTES = 180;

/** Disk copies of a lab that was killed in the middle of a backup; the job lock says that nobody uses them. */
async function removeLeftovers(tmpDir: string): Promise<void> {
  await mkdir(tmpDir, { recursive: true });
  for (const name of await readdir(tmpDir)) {
    if (name.startsWith("vzdumptmp")) await rm(join(tmpDir, name), { recursive: true, force: true });
  }
}

async function runJob(args: BackupEngineArgs, request: VzdumpRequest, context: TaskContext): Promise<void> {
  await removeLeftovers(args.tmpDir);
  context.log(`INFO: starting new backup job: ${request.commandLine}`);
  let failures = 0;
  for (const vmId of [...request.vmIds].sort((a, b) => a - b)) {
    if (!(await new GuestBackup(args, request, vmId, context).run())) failures++;
    if (context.signal.aborted) {
      context.log("ERROR: Backup job failed - interrupted by signal");
      throw new Error("interrupted by signal");
    }
  }
  context.log(`INFO: Backup job finished ${failures > 0 ? "with errors" : "successfully"}`);
  if (failures > 0) throw new Error("job errors");
}

/** Makes the engine of one node. Nothing runs until it is asked; temporary files of a crash are removed by the next backup. */
export function createBackupEngine(args: BackupEngineArgs): BackupEngine {
  const jobLock = new JobLock();

  const vzdump = async (request: VzdumpRequest, context: TaskContext): Promise<void> => {
    const lock = await jobLock.acquire(request.lockWaitMinutes ?? DEFAULT_LOCK_WAIT_MINUTES, context);
    try {
      await runJob(args, request, context);
    } finally {
      lock[Symbol.dispose]();
    }
  };

  return {
    vzdump,
    restore: (request, context) => restoreArchive(args.volumes, request, context),
    extractConfig,
  };
}
