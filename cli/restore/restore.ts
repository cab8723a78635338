/**
 * `homelab restore`: the emergency as one command. What an earlier attempt left is cleared, production is restored and proved,
 * and the stack is emptied: forgotten, not deleted, so that the next emergency finds it ready.
 */
import { asideSummary } from "../../provider/aside-report";
import { listRuns, readNewEvidence } from "../rehearsal/evidence";
import type { RestoreConfig } from "../../stacks/config";
import { CliError } from "../errors";
import type { Progress } from "../progress";
import { explainStart } from "../pulumi-errors";
import { problemIn, type PulumiResult, type RunPulumi } from "../drill/pulumi";
import { clearingDeadLocks } from "../drill/stack-lock";
import { copyWithOutage } from "./config";

export interface RestoreArgs {
  readonly config: RestoreConfig;
  readonly stack: string;
  readonly projectDir: string;
  /** When the outage began, ISO 8601; absent: as in the stack file. */
  readonly outageAt?: string;
  readonly pulumi: RunPulumi;
  readonly progress: Progress;
  /** Cancels the restore; what is half-made is removed, what is whole stays. */
  readonly signal: AbortSignal;
}

/** Gives the exit code: 0 only if the restored VM passed its checks. */
export async function runRestore(given: RestoreArgs): Promise<number> {
  const { config, stack, projectDir, outageAt, progress, signal } = given;
  const pulumi = clearingDeadLocks(given.pulumi, stack, (line) => progress.line(line));
  const args: RestoreArgs = { ...given, pulumi };
  const evidenceDir = config.files.evidence;
  await makeReady(args);
  const before = await emergencies(evidenceDir);
  await using copy = outageAt === undefined ? undefined : await copyWithOutage(projectDir, stack, outageAt);
  const common = ["-s", stack, "--yes", "--skip-preview", ...(copy === undefined ? [] : ["--config-file", copy.file])];
  const up = await step(args, "pulumi up", (onLine) => pulumi(["up", ...common], { onLine, signal }));
  const down = await step(args, "forgetting the run", (onLine) => pulumi(["destroy", ...common], { onLine }));
  const run = (await emergencies(evidenceDir)).filter((name) => !before.includes(name)).at(-1);
  if (run === undefined) throw new CliError(explainStart(up.output, stack) ?? problemIn(up));
  const others = (await listRuns(evidenceDir)).filter((name) => name !== run);
  const { evidence, reportFile } = await readNewEvidence(evidenceDir, others);
  progress.line(`${evidence.verdict === "passed" ? "✓" : "✗"} VM ${config.dockerVm.vmId}: ${evidence.verdict}`);
  for (const reason of evidence.reasons) progress.line(`  ${reason}`);
  progress.line(`report   ${reportFile}`);
  const aside = asideSummary(evidence);
  if (aside !== undefined) progress.line(`old VM   ${aside}`);
  if (down.code !== 0) {
    throw new CliError(
      `Unable to empty stack ${stack} after the restore: ${problemIn(down)}\nRemove the cause and run pulumi destroy -s ${stack}; ` +
        "a VM that was restored whole stays.",
    );
  }
  if (evidence.verdict !== "passed") return 1;
  if (up.code !== 0) throw new CliError(`The VM passed, but pulumi up failed: ${problemIn(up)}`);
  progress.line("next     pulumi up -s prod --refresh brings what is newer than the backup");
  return 0;
}

/** Names of the emergencies in an evidence folder, oldest first; drills may begin beside one. */
async function emergencies(evidenceDir: string): Promise<string[]> {
  return (await listRuns(evidenceDir)).filter((run) => run.includes("-emergency-")).sort();
}

/** An empty stack: made if there is none, and cleared of what an earlier attempt left. */
async function makeReady(args: RestoreArgs): Promise<void> {
  const { stack, pulumi } = args;
  let state = await pulumi(["stack", "export", "-s", stack]);
  if (state.code !== 0 && /no stack named/.test(state.output)) {
    // In an emergency the backend may be a new one.
    const made = await step(args, `making stack ${stack}`, () => pulumi(["stack", "init", stack, "--no-select"]));
    if (made.code !== 0) throw new CliError(explainStart(made.output, stack) ?? problemIn(made));
    state = await pulumi(["stack", "export", "-s", stack]);
  }
  if (state.code !== 0) throw new CliError(explainStart(state.output, stack) ?? problemIn(state));
  if (/"pending_operations":\s*\[/.test(state.output)) {
    const clear = ["refresh", "-s", stack, "--yes", "--skip-preview", "--clear-pending-creates"];
    const cleared = await step(args, "clearing steps in which Pulumi was killed", (onLine) =>
      pulumi(clear, { onLine }),
    );
    if (cleared.code !== 0) throw new CliError(explainStart(cleared.output, stack) ?? problemIn(cleared));
  }
  if (!/"type":\s*"homelab:/.test(state.output)) return;
  const down = await step(args, "clearing what an earlier restore left", (onLine) =>
    pulumi(["destroy", "-s", stack, "--yes", "--skip-preview"], { onLine }),
  );
  if (down.code !== 0) throw new CliError(explainStart(down.output, stack) ?? problemIn(down));
}

/** A step whose failure is judged by who asked for it. */
async function step(
  { progress, stack }: RestoreArgs,
  title: string,
  work: (onLine: (line: string) => void) => Promise<PulumiResult>,
): Promise<PulumiResult> {
  return progress.step(`restore of stack ${stack}: ${title}`, ({ detail }) => work((line) => detail(line.trim())));
}
