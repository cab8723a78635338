/** PVE `/nodes/{node}/storage`: state of a storage and the backups on it. */
import { z } from "zod";
import { type PveClient, pvePath } from "../client";
import { ownerOfVolume } from "../volume-id";
import { pveBoolean, pveNumber } from "../wire";

const statusSchema = z.object({
  type: z.string(),
  content: z.string(),
  /** Whether the storage can be reached. */
  active: pveBoolean,
  enabled: pveBoolean,
  /** Bytes that can still be written; of a thin pool what its data does not fill, whatever was promised to volumes. */
  avail: pveNumber.optional(),
  /** Bytes. */
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

const listedStatusSchema = statusSchema.extend({ storage: z.string() });
export type ListedStorage = z.infer<typeof listedStatusSchema>;

/** State of all enabled storages of a node that the token can see. */
export async function nodeStorages(client: PveClient, node: string): Promise<ListedStorage[]> {
  return client.get(pvePath`/nodes/${node}/storage`, z.array(listedStatusSchema), { enabled: true });
}

const imageSchema = z.object({ volid: z.string(), vmid: pveNumber.optional() });

/** Volume ids of the disks on a storage that are named after a VMID. PVE leaves out silently what the token may not see. */
export async function imagesOf(client: PveClient, node: string, storage: string, vmId: number): Promise<string[]> {
  const query = { content: "images", vmid: vmId };
  const items = await client.get(pvePath`/nodes/${node}/storage/${storage}/content`, z.array(imageSchema), query);
  return items.filter(({ vmid, volid }) => (vmid ?? ownerOfVolume(volid)) === vmId).map(({ volid }) => volid);
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
