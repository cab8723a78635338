/** What a drill that was killed left behind: found, removed and told, so that the next drill begins on clean ground. */
import { closeDeadRuns, readJournalIfThere } from "../../provider/journal";
import { isProcessAlive } from "../../provider/process-alive";
import { hostname } from "node:os";
import { CliError } from "../errors";
import type { Progress } from "../progress";
import { problemIn, type RunPulumi } from "./pulumi";
import { type DrillState, readDrillState } from "./stack-state";

export interface RecoveryArgs {
  readonly pulumi: RunPulumi;
  readonly stack: string;
  readonly evidenceDir: string;
  /** Runs that a killed `homelab drill` was to remove. */
  readonly abandoned: readonly string[];
  readonly progress: Progress;
}

/**
 * Closes journals of dead processes as aborted, and destroys a run that nobody will end any more.
 *
 * @throws CliError when a drill stands that is somebody's, or when what is left can't be removed
 */
export async function recoverStack(args: RecoveryArgs): Promise<void> {
  const { pulumi, stack, evidenceDir, progress } = args;
  const state = await readDrillState(pulumi, stack);
  const reason = state.run === undefined ? undefined : await whyNobodys(state.run, state, args.abandoned);
  if (state.run !== undefined && reason === undefined) {
    throw new CliError(
      `Unable to begin a drill: one stands in stack ${stack}. Run pulumi destroy -s ${stack} when nobody needs it any more.`,
    );
  }
  const { closed, problems } = await closeDeadRuns(evidenceDir);
  for (const runId of closed) progress.line(`Run ${runId} had died without a verdict and was closed as aborted.`);
  for (const problem of problems) progress.line(problem);
  if (state.run !== undefined) {
    progress.line(`Run ${state.run.runId} stands, but ${reason ?? "nobody needs it"}; removing it.`);
    await requireSuccess(args, ["destroy", "-s", stack, "--yes", "--skip-preview"], "remove what it left");
  }
  await clearPending(args);
}

/**
 * Why a run that stands may go; undefined where somebody may still need it: one with a verdict that was brought up by hand or
 * kept, one whose process runs, one of another computer.
 */
async function whyNobodys(
  { runId, runDir }: NonNullable<DrillState["run"]>,
  { hasVerdict }: DrillState,
  abandoned: readonly string[],
): Promise<string | undefined> {
  if (abandoned.includes(runId)) return "the homelab drill that was to remove it was killed";
  const events = await readJournalIfThere(runDir);
  const started = events.find((event) => event.type === "run-started");
  if (started === undefined) return undefined;
  const end = events.findLast((event) => event.type === "run-ended");
  if (end?.verdict === "aborted") return "it was aborted";
  if (end !== undefined) return hasVerdict ? undefined : "its destroy was cut off";
  if (started.host !== hostname() || (await isProcessAlive(started.pid, new Date(started.at)))) return undefined;
  return `its process ${started.pid} died without a verdict`;
}

/** Steps in which Pulumi was killed stay in the state, with a warning at each command, until they are cleared. */
async function clearPending(args: RecoveryArgs): Promise<void> {
  const { run, hasPending } = await readDrillState(args.pulumi, args.stack);
  if (run !== undefined || !hasPending) return;
  const clear = ["refresh", "-s", args.stack, "--yes", "--skip-preview", "--clear-pending-creates"];
  await requireSuccess(args, clear, "clear the steps in which Pulumi was killed");
}

async function requireSuccess(
  { pulumi, stack }: RecoveryArgs,
  command: readonly string[],
  what: string,
): Promise<void> {
  const result = await pulumi(command);
  if (result.code === 0) return;
  throw new CliError(
    `Unable to begin a drill: an earlier one of stack ${stack} was killed, and pulumi can't ${what}: ${problemIn(result)}\n` +
      `Remove the cause and run pulumi destroy -s ${stack}.`,
  );
}
