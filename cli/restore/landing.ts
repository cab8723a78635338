/** After a restore that passed: what production's stack needs before it can go on. */
import { z } from "zod";
import { backupJob } from "../../pve/cluster/backup";
import type { PveClient } from "../../pve/client";
import { PveNotFound } from "../../pve/errors";
import { problemIn, type RunPulumi } from "../drill/pulumi";

const JOB_TYPE = "proxmoxve:backup/job:Job";
const stateSchema = z.object({
  deployment: z.object({
    resources: z
      .array(z.looseObject({ type: z.string(), urn: z.string(), id: z.string().optional() }))
      .nullish()
      .transform((resources) => resources ?? []),
  }),
});

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
  if (exported.code !== 0) {
    print(`The state of stack ${production} can't be read: ${problemIn(exported)}`);
    print(next);
    return;
  }
  const { output } = exported;
  const text = output.slice(output.search(/^\{/m), output.lastIndexOf("}") + 1);
  const { resources } = stateSchema.parse(JSON.parse(text)).deployment;
  for (const { type, urn, id } of resources) {
    if (type !== JOB_TYPE || id === undefined || (await exists(client, id))) continue;
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

async function exists(client: PveClient, id: string): Promise<boolean> {
  try {
    await backupJob(client, id);
    return true;
  } catch (error) {
    if (error instanceof PveNotFound) return false;
    throw error;
  }
}
