/**
 * `homelab drill`: one drill, or one after another over several archives, each from `pulumi up` to `pulumi destroy`, with one
 * table at the end. A drill that could not begin leaves evidence as well, whatever stopped it.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Evidence, evidenceSchema } from "../../provider/contract/evidence";
import type { RestorePoint } from "../../provider/contract/run";
import { readFileIfThere } from "../../provider/files";
import { recordRefusal } from "../../provider/refusal";
import { PveClient } from "../../pve/client";
import type { BackupItem } from "../../pve/nodes/storage";
import type { DrillConfig } from "../../stacks/config";
import { plannedRun } from "../../stacks/planned-run";
import { CliError, hasCode } from "../errors";
import type { Progress } from "../progress";
import { type Selection, selectArchives } from "./archives";
import { explainStart } from "../pulumi-errors";
import { copyNaming } from "./config";
import { problemIn, type PulumiResult, type RunPulumi } from "./pulumi";
import { type DrillRow, drillTable } from "./table";

export interface DrillArgs {
  readonly config: DrillConfig;
  readonly stack: string;
  readonly projectDir: string;
  readonly selection: Selection;
  /** Leave the restored VM running; only for one drill. */
  readonly keep: boolean;
  readonly pulumi: RunPulumi;
  readonly progress: Progress;
  /** Cancels the drill under way, removes its VM and begins no other. */
  readonly signal: AbortSignal;
  readonly client?: PveClient;
}

/** Runs the drills and prints the table. Gives the exit code: 0 only if every drill passed. */
export async function runDrills(args: DrillArgs): Promise<number> {
  const { progress, signal, selection } = args;
  await requireNoStandingDrill(args);
  const archives = await archivesOf(args);
  const rows: DrillRow[] = [];
  try {
    for (const archive of archives) {
      signal.throwIfAborted();
      rows.push(await oneDrill(args, archive));
    }
    signal.throwIfAborted();
  } finally {
    progress.line("");
    if (rows.length > 0) for (const line of drillTable(rows)) progress.line(line);
    const left = archives.length - rows.length;
    if (left > 0) progress.line(`${left} of ${archives.length} drills were not run or not finished.`);
  }
  const asked = selection.by === "last" ? selection.count : archives.length;
  return rows.length === asked && rows.every(({ evidence }) => evidence?.verdict === "passed") ? 0 : 1;
}

/** The archives to drill; undefined stands for what the configuration chooses. */
async function archivesOf(args: DrillArgs): Promise<(BackupItem | undefined)[]> {
  const { selection, config, progress } = args;
  if (selection.by === "configuration") return [undefined];
  const archives = await selectArchives(args.client ?? new PveClient(), config, selection);
  if (selection.by === "last" && archives.length < selection.count) {
    progress.line(
      `There are only ${archives.length} archives, not ${selection.count}, so this can't end with exit code 0.`,
    );
  }
  return archives;
}

/** A drill that stands is somebody's: it is not destroyed to make room for another. */
async function requireNoStandingDrill({ pulumi, stack }: DrillArgs): Promise<void> {
  const result = await pulumi(["stack", "export", "-s", stack]);
  if (result.code !== 0) {
    requireStart(result, stack);
    throw new CliError(
      `Unable to begin a drill: the state of stack ${stack} can't be read: ${problemIn(result)}. ` +
        `Make the stack with pulumi stack init ${stack}, or log in to the backend that has it.`,
    );
  }
  if (!/"type":\s*"homelab:drill:Lease"/.test(result.output)) return;
  throw new CliError(
    `Unable to begin a drill: one stands in stack ${stack}. Run pulumi destroy -s ${stack} when nobody needs it any more.`,
  );
}

/** @throws CliError when Pulumi could not begin: stack, passphrase, lock, version. */
function requireStart({ output }: PulumiResult, stack: string): void {
  const cause = explainStart(output, stack);
  if (cause !== undefined) throw new CliError(cause);
}

/** One drill up to its removal. Only a removal that fails is an error. */
async function oneDrill(args: DrillArgs, archive: BackupItem | undefined): Promise<DrillRow> {
  const { stack, projectDir, progress, pulumi, signal, keep, config } = args;
  const evidenceDir = config.files.evidence;
  const before = await runsIn(evidenceDir);
  await using copy = archive === undefined ? undefined : await copyNaming(projectDir, stack, archive.volid);
  const common = ["-s", stack, "--yes", "--skip-preview", ...(copy === undefined ? [] : ["--config-file", copy.file])];
  const title = archive === undefined ? `drill of stack ${stack}` : `drill of ${archive.volid}`;
  const up = await attempt(progress, `${title}: pulumi up`, (onLine) => pulumi(["up", ...common], { onLine, signal }));
  const begun = await newRun(evidenceDir, before);
  if (up.code !== 0 && begun === undefined && !signal.aborted) await refuse(args, archive, up);
  // What keeps Pulumi from beginning keeps it from destroying too, and there is nothing to destroy.
  if (up.code !== 0 && begun === undefined) requireStart(up, stack);
  if (!keep || up.code !== 0) {
    const destroy = ["destroy", ...common];
    const down = await attempt(progress, `${title}: pulumi destroy`, (onLine) => pulumi(destroy, { onLine }));
    if (down.code !== 0) throw notRemoved(args, down);
  }
  const run = await newRun(evidenceDir, before);
  const evidence = run === undefined ? undefined : await readEvidence(evidenceDir, run);
  if (run !== undefined) progress.line(`report   ${join(evidenceDir, run, "report.md")}`);
  return { archive: archive?.volid, evidence, ...(evidence === undefined ? { problem: problemOf(up, run) } : {}) };
}

/** A step whose failure is a result: it is shown as failed and the drill goes on to its end. */
async function attempt(
  progress: Progress,
  title: string,
  work: (onLine: (line: string) => void) => Promise<PulumiResult>,
): Promise<PulumiResult> {
  let result: PulumiResult | undefined;
  try {
    return await progress.step(title, async (step) => {
      result = await work((line) => step.detail(line.trim()));
      if (result.code !== 0) throw new StepFailed();
      return result;
    });
  } catch (error) {
    if (error instanceof StepFailed && result !== undefined) return result;
    throw error;
  }
}

class StepFailed extends Error {}

function problemOf(up: PulumiResult, run: string | undefined): string {
  return run === undefined ? problemIn(up) : `run ${run} has no evidence; see its journal`;
}

/** Whatever kept the drill from beginning: configuration, engine, capacity. */
async function refuse({ config, stack }: DrillArgs, archive: BackupItem | undefined, up: PulumiResult): Promise<void> {
  const restorePoint: RestorePoint | null =
    archive === undefined
      ? null
      : { archive: archive.volid, archiveTime: archive.ctime, archiveBytes: archive.size, notes: archive.notes ?? "" };
  await recordRefusal({ ...plannedRun(config, stack), restorePoint }, problemIn(up));
}

function notRemoved({ config, stack }: DrillArgs, down: PulumiResult): CliError {
  return new CliError(
    `Unable to remove the drill's VM ${config.drill.vmId}: pulumi destroy -s ${stack} failed: ${problemIn(down)}\n` +
      `Remove the cause and run pulumi destroy -s ${stack}; no further drill was begun.`,
  );
}

/** Names of the runs in an evidence folder, refused ones included. */
async function runsIn(evidenceDir: string): Promise<string[]> {
  const entries = await readdir(evidenceDir, { withFileTypes: true }).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory() && /^\d{8}T\d{6}Z-/.test(entry.name)).map(({ name }) => name);
}

/** The run that was not there before; run ids sort by time. */
async function newRun(evidenceDir: string, before: readonly string[]): Promise<string | undefined> {
  return (await runsIn(evidenceDir))
    .filter((run) => !before.includes(run))
    .sort()
    .at(-1);
}

async function readEvidence(evidenceDir: string, run: string): Promise<Evidence | undefined> {
  const text = await readFileIfThere(join(evidenceDir, run, "drill.json"));
  return text === undefined ? undefined : evidenceSchema.parse(JSON.parse(text));
}
