/** PVE `/access/permissions`: what the token may do. */
import { z } from "zod";
import type { PveClient } from "../client";

/** Privileges by path; the value says whether one reaches the paths below. What stands there at all is granted on the path. */
const permissionsSchema = z.record(z.string(), z.record(z.string(), z.union([z.number(), z.boolean(), z.string()])));

/** Privileges of the token on one path itself, inherited ones included. Says nothing of the paths below it. */
export async function ownPrivileges(client: PveClient, path: string): Promise<Set<string>> {
  const permissions = await client.get("/access/permissions", permissionsSchema, { path });
  return new Set(Object.keys(permissions[path] ?? {}));
}

/**
 * Where, at a path and below it, the token can't see; nothing if it sees everything. Lists leave out silently what it can't
 * see, so an empty list proves something only then.
 *
 * A path on which the token has nothing at all (role NoAccess) is in no answer of Proxmox: such an entry for a single guest or
 * storage can't be found this way.
 *
 * Source: pve-access-control `PVE::RPCEnvironment::get_effective_permissions`.
 *
 * @param sees Whether these privileges are enough.
 */
export async function blindSpots(
  client: PveClient,
  root: string,
  sees: (privileges: ReadonlySet<string>) => boolean,
): Promise<string[]> {
  const [here, everywhere] = await Promise.all([
    client.get("/access/permissions", permissionsSchema, { path: root }),
    client.get("/access/permissions", permissionsSchema),
  ]);
  const granted = Object.entries(here[root] ?? {});
  if (!sees(new Set(granted.map(([privilege]) => privilege)))) return [root];
  const reaching = granted.filter(([, propagates]) => Number(propagates) !== 0);
  if (!sees(new Set(reaching.map(([privilege]) => privilege)))) return [`${root}/*`];
  return Object.entries(everywhere)
    .filter(([path, privileges]) => path.startsWith(`${root}/`) && !sees(new Set(Object.keys(privileges))))
    .map(([path]) => path)
    .sort();
}
