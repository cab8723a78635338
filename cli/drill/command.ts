/** Binds `homelab drill` to the operator's project, `pulumi` and cluster. */
import type { Progress } from "../progress";
import type { Selection } from "./archives";
import { readDrillConfig } from "./config";
import { runDrills } from "./drill";
import { pulumiIn } from "./pulumi";

export interface DrillCommandArgs {
  readonly projectDir: string;
  readonly stack: string;
  readonly last?: number;
  readonly archives?: readonly string[];
  readonly keep: boolean;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Gives the exit code. */
export async function drillCommand(args: DrillCommandArgs): Promise<number> {
  const { projectDir, stack, last, archives, keep, progress, signal } = args;
  const config = await readDrillConfig(projectDir, stack, process.env);
  const selection: Selection =
    last !== undefined
      ? { by: "last", count: last }
      : archives !== undefined
        ? { by: "name", names: archives }
        : { by: "configuration" };
  return runDrills({ config, stack, projectDir, selection, keep, pulumi: pulumiIn(projectDir), progress, signal });
}
