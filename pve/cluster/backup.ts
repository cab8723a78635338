/** PVE `/cluster/backup`: declared backup jobs, and which guests they take. */
import { z } from "zod";
import { type PveClient, pvePath } from "../client";
import { pveNumber } from "../wire";

const jobSchema = z.looseObject({ id: z.string() });

/** A backup job with every field as the API answers it. */
export type BackupJob = z.infer<typeof jobSchema>;

/** All backup jobs, disabled ones included. @throws PvePermissionDenied without Sys.Audit on `/` */
export async function backupJobs(client: PveClient): Promise<BackupJob[]> {
  return client.get("/cluster/backup", z.array(jobSchema));
}

/** One backup job. @throws PveNotFound: PVE answers 400 for a missing one */
export async function backupJob(client: PveClient, id: string): Promise<BackupJob> {
  return client.get(pvePath`/cluster/backup/${id}`, jobSchema);
}

/** VMIDs of the guests in no job, disabled jobs counted too. Guests without VM.Audit for the token are left out silently. */
export async function guestsWithoutJob(client: PveClient): Promise<number[]> {
  const guests = await client.get("/cluster/backup-info/not-backed-up", z.array(z.object({ vmid: pveNumber })));
  return guests.map(({ vmid }) => vmid);
}

/** A guest, as far as jobs choose by it. */
export interface JobGuest {
  readonly vmId: number;
  readonly node: string;
  /** The pool that it is in; absent: none. */
  readonly pool?: string | undefined;
}

/**
 * By what a job takes a guest; undefined if it does not. Whether the job is enabled is not looked at.
 *
 * Source: pve-manager `PVE::VZDump::get_included_guests`, `PVE::API2Tools::get_resource_pool_guest_members`.
 */
export function takenBy(job: BackupJob, { vmId, node, pool }: JobGuest): "pool" | "vmid" | "all" | undefined {
  if (fieldOf(job, "node") !== "" && fieldOf(job, "node") !== node) return undefined;
  const jobPool = fieldOf(job, "pool");
  if (jobPool !== "") return pool === jobPool ? "pool" : undefined;
  const named = vmIdsIn(job, "vmid");
  if (named.length > 0) return named.includes(vmId) ? "vmid" : undefined;
  return isSet(job["all"]) && !vmIdsIn(job, "exclude").includes(vmId) ? "all" : undefined;
}

/** Whether the job runs at its time; PVE's default. */
export function isEnabled(job: BackupJob): boolean {
  return job["enabled"] === undefined || isSet(job["enabled"]);
}

/** VMIDs of a job's field: its guests, or those that it leaves out. */
export function vmIdsIn(job: BackupJob, field: "vmid" | "exclude"): number[] {
  return fieldOf(job, field)
    .split(/[\s,;]+/)
    .filter((id) => id !== "")
    .map(Number);
}

function isSet(value: unknown): boolean {
  return value === true || value === 1 || value === "1";
}

function fieldOf(job: BackupJob, field: string): string {
  const value = job[field];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
