/**
 * `homelab restore`: the emergency as one command. What an earlier attempt left is cleared, production is restored and proved,
 * and the stack is emptied: forgotten, not deleted, so that the next emergency finds it ready.
 */
import { asideSummary } from "../../provider/aside-report";
import { listRuns, readNewEvidence } from "../rehearsal/evidence";
import { PveClient } from "../../pve/client";
import type { ProdConfig, RestoreConfig } from "../../stacks/config";
import { CliError } from "../errors";
import type { Progress } from "../progress";
import { explainStart } from "../pulumi-errors";
import { claimingRuns, claimStack } from "../drill/claim";
import { problemIn, type RunPulumi } from "../drill/pulumi";
import { clearingDeadLocks } from "../drill/stack-lock";
import { mendingStateFiles } from "../drill/state-files";
import { defineBackupStorage } from "./backup-storage";
import { copyWithOutage } from "./config";
import { prepareLanding } from "./landing";
import { makeReady, passedRun, step } from "./recovery";

export interface RestoreArgs {
  readonly config: RestoreConfig;
  readonly stack: string;
  readonly projectDir: string;
  /** Production's stack: its name, and how to read its file, which is needed only on a node without backup storage. */
  readonly production: { readonly stack: string; readonly read: () => Promise<ProdConfig> };
  /** When the outage began, ISO 8601; absent: as in the stack file. */
  readonly outageAt?: string;
  readonly pulumi: RunPulumi;
  readonly progress: Progress;
  /** Cancels the restore; what is half-made is removed, what is whole stays. */
  readonly signal: AbortSignal;
  readonly client?: PveClient;
}

/** Gives the exit code: 0 only if the restored VM passed its checks. */
export async function runRestore(given: RestoreArgs): Promise<number> {
  const { config, stack, projectDir, outageAt, progress, signal } = given;
  const evidenceDir = config.files.evidence;
  const tell = (line: string): void => progress.line(line);
  const mending = mendingStateFiles(given.pulumi, { stack, projectDir: given.projectDir }, tell);
  const pulumi = clearingDeadLocks(mending, stack, tell);
  const { client = new PveClient() } = given;
  await using claim = await claimStack({ command: "restore", evidenceDir, stack });
  const defined = await defineBackupStorage({ client, config, readProduction: given.production.read });
  if (defined !== undefined) tell(`Defined ${defined}, as production declares it.`);
  const args = { stack, evidenceDir, pulumi, progress };
  await makeReady(args);
  const passed = await passedRun(client, evidenceDir, claim.abandoned);
  if (passed !== undefined) {
    tell(
      `Run ${passed} had restored VM ${config.dockerVm.vmId} and passed before its command was killed, so only the stack was ` +
        "emptied. If the VM has broken since, run this again.",
    );
    return await conclude(given, client, passed);
  }
  const before = await emergencies(evidenceDir);
  await using copy = outageAt === undefined ? undefined : await copyWithOutage(projectDir, stack, outageAt);
  const common = ["-s", stack, "--yes", "--skip-preview", ...(copy === undefined ? [] : ["--config-file", copy.file])];
  const update = claimingRuns(pulumi, claim);
  const up = await step(args, "pulumi up", (onLine) => update(["up", ...common], { onLine, signal }));
  const down = await step(args, "forgetting the run", (onLine) => pulumi(["destroy", ...common], { onLine }));
  const run = (await emergencies(evidenceDir)).filter((name) => !before.includes(name)).at(-1);
  if (run === undefined) throw new CliError(explainStart(up.output, stack) ?? problemIn(up));
  const exitCode = await conclude(given, client, run);
  if (down.code !== 0) {
    throw new CliError(
      `Unable to empty stack ${stack} after the restore: ${problemIn(down)}\nRemove the cause and run pulumi destroy -s ${stack}; ` +
        "a VM that was restored whole stays.",
    );
  }
  if (exitCode === 0 && up.code !== 0) throw new CliError(`The VM passed, but pulumi up failed: ${problemIn(up)}`);
  return exitCode;
}

/** Tells how the run ended. Gives the exit code. */
async function conclude(given: RestoreArgs, client: PveClient, run: string): Promise<number> {
  const { config, production, pulumi, progress } = given;
  const evidenceDir = config.files.evidence;
  const others = (await listRuns(evidenceDir)).filter((name) => name !== run);
  const { evidence, reportFile } = await readNewEvidence(evidenceDir, others);
  progress.line(`${evidence.verdict === "passed" ? "✓" : "✗"} VM ${config.dockerVm.vmId}: ${evidence.verdict}`);
  for (const reason of evidence.reasons) progress.line(`  ${reason}`);
  progress.line(`report   ${reportFile}`);
  const aside = asideSummary(evidence);
  if (aside !== undefined) progress.line(`old VM   ${aside}`);
  if (evidence.verdict !== "passed") return 1;
  await prepareLanding({ client, pulumi, production: production.stack, print: (line) => progress.line(line) });
  return 0;
}

/** Names of the emergencies in an evidence folder, oldest first; drills may begin beside one. */
async function emergencies(evidenceDir: string): Promise<string[]> {
  return (await listRuns(evidenceDir)).filter((run) => run.includes("-emergency-")).sort();
}
