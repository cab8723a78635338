/** PVE `/nodes/{node}/lxc`: as much of containers as a drill looks at. */
import { z } from "zod";
import { type PveClient, pvePath } from "../client";

const configSchema = z
  .record(z.string(), z.unknown())
  .transform((config) =>
    Object.fromEntries(
      Object.entries(config).flatMap(([key, value]): [string, string][] =>
        typeof value === "string" || typeof value === "number" ? [[key, String(value)]] : [],
      ),
    ),
  );

/** Configuration of a container; lists (`lxc`) are left out. @throws PveNotFound */
export async function containerConfig(client: PveClient, node: string, vmId: number): Promise<Record<string, string>> {
  return client.get(pvePath`/nodes/${node}/lxc/${vmId}/config`, configSchema);
}
