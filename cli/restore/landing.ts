/** After a restore that passed: what production's stack needs before it can go on. */
import { backupJob } from "../../pve/cluster/backup";
import type { PveClient } from "../../pve/client";
import { PveError, PveNotFound } from "../../pve/errors";
import { problemIn, type PulumiResult, type RunPulumi } from "../drill/pulumi";
import { type ExportedState, stateIn } from "../drill/stack-state";
import { CliError } from "../errors";
import { explainStart } from "../pulumi-errors";

const JOB_TYPE = "proxmoxve:backup/job:Job";

export interface LandingArgs {
  readonly client: PveClient;
  readonly pulumi: RunPulumi;
  /** Name of production's stack. */
  readonly production: string;
  readonly print: (line: string) => void;
}

/**
 * Forgets the backup job in production's state where the node has none, as on a new one, because the Proxmox provider's refresh
 * takes a missing job for an error; the next update makes it again. Prints what to type next.
 */
export async function prepareLanding({ client, pulumi, production, print }: LandingArgs): Promise<void> {
  const exported = await pulumi(["stack", "export", "-s", production]);
  if (exported.code !== 0 && /no stack named/.test(exported.output)) {
    print(
      `next     pulumi stack init ${production}, npm run homelab -- adopt, pulumi up -s ${production}: its state is lost`,
    );
    return;
  }
  const next = `next     pulumi up -s ${production} --refresh brings what is newer than the backup`;
  const resources = resourcesIn(exported, production);
  if (typeof resources === "string") {
    print(resources);
    print(next);
    return;
  }
  for (const { type, urn, id } of resources) {
    if (type !== JOB_TYPE || urn === undefined || id === undefined) continue;
    const there = await exists(client, id);
    if (typeof there === "string") {
      print(
        `Unable to see whether the cluster has backup job ${id}: ${there} If it has none, the update fails at it: ` +
          `pulumi state delete '${urn}' -s ${production} --force`,
      );
    }
    if (there !== false) continue;
    const forgotten = await pulumi(["state", "delete", urn, "-s", production, "--force", "--yes"]);
    print(
      forgotten.code === 0
        ? `Stack ${production} forgot backup job ${id}, which the cluster does not have; its next update makes it again.`
        : `Unable to forget backup job ${id} in stack ${production}: ${problemIn(forgotten)}`,
    );
  }
  if (resources.length === 0)
    print(`next     npm run homelab -- adopt, then pulumi up -s ${production}: its state is empty`);
  else print(next);
}

/** What stands in production's state; why it can't be told, because the restore has passed whatever comes after it. */
function resourcesIn(exported: PulumiResult, stack: string): ExportedState["resources"] | string {
  if (exported.code !== 0) {
    const problem = `Unable to read the state of stack ${stack}: ${problemIn(exported)}`;
    return explainStart(exported.output, stack) ?? problem;
  }
  try {
    return stateIn(exported.output, stack).resources;
  } catch (error) {
    if (error instanceof CliError) return error.message;
    throw error;
  }
}

/** Whether the cluster has a backup job; why it can't be told, because the restore has passed whatever comes after it. */
async function exists(client: PveClient, id: string): Promise<boolean | string> {
  try {
    await backupJob(client, id);
    return true;
  } catch (error) {
    if (error instanceof PveNotFound) return false;
    if (error instanceof PveError) return error.message;
    throw error;
  }
}
