/** PVE `/cluster/backup`: declared backup jobs. */
import { z } from "zod";
import { type PveClient, pvePath } from "../client";

const jobSchema = z.looseObject({ id: z.string() });

/** A backup job with every field as the API answers it. */
export type BackupJob = z.infer<typeof jobSchema>;

/** All backup jobs. */
export async function backupJobs(client: PveClient): Promise<BackupJob[]> {
  return client.get("/cluster/backup", z.array(jobSchema));
}

/** One backup job. @throws PveNotFound: PVE answers 400 for a missing one */
export async function backupJob(client: PveClient, id: string): Promise<BackupJob> {
  return client.get(pvePath`/cluster/backup/${id}`, jobSchema);
}
