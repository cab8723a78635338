/** PVE `/nodes/{node}/storage`: state of a storage and the backups on it. */
import { z } from "zod";
import { type PveClient, pvePath } from "../client";
import { pveBoolean, pveNumber } from "../wire";

const statusSchema = z.object({
  type: z.string(),
  content: z.string(),
  /** Whether the storage can be reached. */
  active: pveBoolean,
  enabled: pveBoolean,
  avail: pveNumber.optional(),
  total: pveNumber.optional(),
});
export type StorageStatus = z.infer<typeof statusSchema>;

const backupSchema = z.object({
  volid: z.string(),
  /** Seconds since the epoch, from the file's name. */
  ctime: pveNumber,
  /** Bytes. */
  size: pveNumber,
  vmid: pveNumber.optional(),
  format: z.string(),
  /** First line only. */
  notes: z.string().optional(),
  protected: pveBoolean,
});
export type BackupItem = z.infer<typeof backupSchema>;

/** State of a storage on a node. @throws PveNotFound */
export async function storageStatus(client: PveClient, node: string, storage: string): Promise<StorageStatus> {
  return client.get(pvePath`/nodes/${node}/storage/${storage}/status`, statusSchema);
}

/** Backups on a storage. PVE leaves out silently what the token may not see, and the order means nothing. */
export async function listBackups(
  client: PveClient,
  node: string,
  storage: string,
  vmId?: number,
): Promise<BackupItem[]> {
  const query = { content: "backup", vmid: vmId };
  return client.get(pvePath`/nodes/${node}/storage/${storage}/content`, z.array(backupSchema), query);
}
