/** PVE `/access/permissions`: what the token may do. */
import { z } from "zod";
import type { PveClient } from "../client";

const permissionsSchema = z.record(z.string(), z.record(z.string(), z.union([z.number(), z.boolean(), z.string()])));

/** Privileges of the token on one path, inherited ones included. */
export async function ownPrivileges(client: PveClient, path: string): Promise<Set<string>> {
  const permissions = await client.get("/access/permissions", permissionsSchema, { path });
  return new Set(Object.keys(permissions[path] ?? {}));
}
