/** What a restore that was killed left behind: an empty stack again, and whether that restore had come to its end. */
import { join } from "node:path";
import { closeDeadRuns, readJournalIfThere } from "../../provider/journal";
import { smbiosUuid } from "../../provider/ownership";
import type { PveClient } from "../../pve/client";
import { findGuest } from "../../pve/cluster/resources";
import { vmConfig } from "../../pve/nodes/qemu";
import { attempt } from "../drill/attempt";
import { problemIn, type PulumiResult, type RunPulumi } from "../drill/pulumi";
import { stateIn } from "../drill/stack-state";
import { CliError } from "../errors";
import type { Progress } from "../progress";
import { explainStart } from "../pulumi-errors";

export interface RestoreRecoveryArgs {
  readonly stack: string;
  readonly evidenceDir: string;
  readonly pulumi: RunPulumi;
  readonly progress: Progress;
}

/** An empty stack: made if there is none, and cleared of what an earlier attempt left. Journals of dead processes are closed. */
export async function makeReady(args: RestoreRecoveryArgs): Promise<void> {
  const { stack, evidenceDir, pulumi, progress } = args;
  let state = await pulumi(["stack", "export", "-s", stack]);
  if (state.code !== 0 && /no stack named/.test(state.output)) {
    // In an emergency the backend may be a new one.
    const made = await step(args, `making stack ${stack}`, () => pulumi(["stack", "init", stack, "--no-select"]));
    if (made.code !== 0) throw new CliError(explainStart(made.output, stack) ?? problemIn(made));
    state = await pulumi(["stack", "export", "-s", stack]);
  }
  if (state.code !== 0) throw new CliError(explainStart(state.output, stack) ?? problemIn(state));
  const { resources, hasPending } = stateIn(state.output, stack);
  if (hasPending) {
    const clear = ["refresh", "-s", stack, "--yes", "--skip-preview", "--clear-pending-creates"];
    const cleared = await step(args, "clearing steps in which Pulumi was killed", (onLine) =>
      pulumi(clear, { onLine }),
    );
    if (cleared.code !== 0) throw new CliError(explainStart(cleared.output, stack) ?? problemIn(cleared));
  }
  if (resources.length > 0) {
    const down = await step(args, "clearing what an earlier restore left", (onLine) =>
      pulumi(["destroy", "-s", stack, "--yes", "--skip-preview"], { onLine }),
    );
    if (down.code !== 0) throw new CliError(explainStart(down.output, stack) ?? problemIn(down));
  }
  const { closed, problems } = await closeDeadRuns(evidenceDir);
  for (const runId of closed) progress.line(`Run ${runId} had died without a verdict and was closed as aborted.`);
  for (const problem of problems) progress.line(problem);
}

/**
 * The run of a killed command that had passed already, if what it restored still stands: then nothing is left to do, and a
 * second restore would only be refused. Undefined where the VM is gone again, which is another emergency.
 */
export async function passedRun(
  client: PveClient,
  evidenceDir: string,
  abandoned: readonly string[],
): Promise<string | undefined> {
  for (const runId of [...abandoned].reverse()) {
    const events = await readJournalIfThere(join(evidenceDir, runId));
    const started = events.find((event) => event.type === "run-started");
    const end = events.findLast((event) => event.type === "run-ended");
    if (started === undefined || end?.verdict !== "passed") continue;
    const guest = await findGuest(client, started.vmId);
    if (guest?.type !== "qemu") continue;
    const config = await vmConfig(client, guest.node, started.vmId);
    if (smbiosUuid(config) === started.vmUuid.toLowerCase()) return runId;
  }
  return undefined;
}

/** A step whose failure is judged by who asked for it. */
export async function step(
  { progress, stack }: Pick<RestoreRecoveryArgs, "progress" | "stack">,
  title: string,
  work: (onLine: (line: string) => void) => Promise<PulumiResult>,
): Promise<PulumiResult> {
  return attempt(progress, `restore of stack ${stack}: ${title}`, work);
}
