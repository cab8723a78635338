/** PVE `/cluster/replication`: copies of guests' disks on other nodes. */
import { z } from "zod";
import type { PveClient } from "../client";
import { pveNumber } from "../wire";

const jobSchema = z.object({ id: z.string(), guest: pveNumber });

/** Ids of a guest's replication jobs. PVE leaves those of guests without VM.Audit for the token out silently. */
export async function replicationJobs(client: PveClient, vmId: number): Promise<string[]> {
  const jobs = await client.get("/cluster/replication", z.array(jobSchema));
  return jobs.filter(({ guest }) => guest === vmId).map(({ id }) => id);
}
