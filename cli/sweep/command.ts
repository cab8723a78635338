/** Binds `homelab sweep` to the operator's project, `pulumi` and cluster. */
import { PveClient } from "../../pve/client";
import { readDrillConfig } from "../drill/config";
import { pulumiIn } from "../drill/pulumi";
import type { Progress } from "../progress";
import { sweep } from "./sweep";

export interface SweepCommandArgs {
  readonly projectDir: string;
  readonly stack: string;
  readonly dryRun: boolean;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Gives the exit code: 0 when nothing that had to go is left. */
export async function sweepCommand({ projectDir, stack, dryRun, progress, signal }: SweepCommandArgs): Promise<number> {
  const config = await readDrillConfig(projectDir, stack, process.env);
  const tell = (line: string): void => progress.line(line);
  const pulumi = pulumiIn(projectDir);
  const swept = await sweep({ config, client: new PveClient(), pulumi, tell, dryRun, signal });
  if (swept.length === 0) tell("No VM of the cluster carries the mark of a drill.");
  for (const { text } of swept) tell(text);
  return swept.some(({ outcome }) => outcome === "stuck") ? 1 : 0;
}
