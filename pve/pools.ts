/** PVE `/pools`: names under which guests are grouped, and by which rights on them are given. */
import { z } from "zod";
import type { PveClient } from "./client";

const poolsSchema = z.array(z.object({ poolid: z.string() }));

/** Makes sure that a pool is there. @throws PveNotFound; PvePermissionDenied without Pool.Audit on it. */
export async function lookAtPool(client: PveClient, id: string): Promise<void> {
  await client.get("/pools", poolsSchema, { poolid: id });
}
