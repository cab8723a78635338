import { existsSync, readdirSync } from "node:fs";
import { namespaceExists } from "./namespace";
import { isAlive, readOwner } from "./owner";
import { labPaths } from "./paths";
import { processesOf } from "./processes";

/** Ids of all labs that this machine has anything of. */
export function labIds(): string[] {
  const names = ["/var/tmp", "/run/netns", "/etc/netns"].flatMap((dir) => (existsSync(dir) ? readdirSync(dir) : []));
  const ids = names.flatMap((name) => /^homelab-([a-z0-9]{1,20})$/.exec(name)?.[1] ?? []);
  return [...new Set(ids)].sort();
}

/** One line about a lab: running, kept or crashed, and what there is of it. */
export async function describeLab(id: string): Promise<string> {
  const paths = labPaths(id);
  const owner = readOwner(paths);
  const processes = (await processesOf(id, paths.namespace)).length;
  const state =
    owner !== undefined && isAlive(owner)
      ? `running, started by process ${owner.pid}`
      : owner?.kept === true && processes > 0
        ? "running, left so on purpose"
        : "remains of a crash";
  const namespace = namespaceExists(paths) ? `namespace ${paths.namespace}` : "no namespace";
  const origin = owner === undefined ? "" : `, of ${owner.repoDir}`;
  return `${id}: ${state}${origin}; ${processes} processes, ${namespace}, ${existsSync(paths.dir) ? paths.dir : "no folder"}`;
}
