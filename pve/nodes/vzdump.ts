/** PVE `/nodes/{node}/vzdump`: make a backup, read the configuration inside one. */
import { z } from "zod";
import { type PveClient, type PveParameters, pvePath } from "../client";

/** Text of the VM configuration inside an archive, `#qmdump#` lines included. Needs VM.Backup on the archive's VM. */
export async function extractConfig(client: PveClient, node: string, volume: string): Promise<string> {
  return client.get(pvePath`/nodes/${node}/vzdump/extractconfig`, z.string(), { volume });
}

/** Starts a backup. Gives the task's UPID, or `OK` when no guest on this node is meant. */
export async function startBackup(client: PveClient, node: string, parameters: PveParameters): Promise<string> {
  return client.post(pvePath`/nodes/${node}/vzdump`, z.string(), parameters);
}
