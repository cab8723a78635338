/** Binds `homelab adopt` to the operator's project, `pulumi`, cluster, records and Docker VM. */
import { PveClient } from "../../pve/client";
import { readProdConfig } from "../lab/stack-files";
import type { Progress } from "../progress";
import { adopt, pulumiIn } from "./adopt";
import { dnsLookups } from "./dns";
import { dockerLookups, withoutDocker } from "./docker";
import { providerPackages } from "./packages";
import { proxmoxLookups } from "./proxmox";

export interface AdoptCommandArgs {
  readonly projectDir: string;
  readonly stack: string;
  /** Whether to look into the VM; false leaves out what runs in it. */
  readonly docker: boolean;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Gives the exit code. */
export async function adoptCommand(args: AdoptCommandArgs): Promise<number> {
  const { projectDir, stack, docker, progress, signal } = args;
  const [config, packages] = await Promise.all([readProdConfig(projectDir, stack), providerPackages(projectDir)]);
  const client = new PveClient();
  return adopt({
    stack,
    pulumi: pulumiIn(projectDir, signal),
    packages,
    lookups: async (plan) => ({
      ...proxmoxLookups(client, plan),
      ...dnsLookups(),
      ...(docker ? await dockerLookups({ client, config, projectDir, plan, signal }) : withoutDocker()),
    }),
    progress,
  });
}
