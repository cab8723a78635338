/**
 * `homelab drill`: one drill, or one after another over several archives, each from `pulumi up` to `pulumi destroy`, with one
 * table at the end. A drill that could not begin leaves evidence as well, whatever stopped it.
 */
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Evidence, evidenceSchema } from "../../provider/contract/evidence";
import type { RestorePoint } from "../../provider/contract/run";
import { readFileIfThere } from "../../provider/files";
import { readJournalIfThere } from "../../provider/journal";
import { recordRefusal } from "../../provider/refusal";
import { PveClient } from "../../pve/client";
import type { BackupItem } from "../../pve/nodes/storage";
import type { DrillConfig } from "../../stacks/config";
import { plannedRun } from "../../stacks/planned-run";
import { CliError, hasCode } from "../errors";
import type { Progress } from "../progress";
import { type Selection, selectArchives } from "./archives";
import { explainStart } from "../pulumi-errors";
import { attempt } from "./attempt";
import { type Claim, claimingRuns, claimStack } from "./claim";
import { sweepBefore } from "../sweep/sweep";
import { copyNaming } from "./config";
import { problemIn, type PulumiResult, type RunPulumi } from "./pulumi";
import { recoverStack } from "./recovery";
import { clearingDeadLocks } from "./stack-lock";
import { mendingStateFiles } from "./state-files";
import { readDrillState } from "./stack-state";
import { type DrillRow, drillTable, isPassed } from "./table";

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

/**
 * Runs the drills and prints the table. Gives the exit code: 0 only if every drill passed. What an earlier command left that
 * was killed is removed first.
 */
export async function runDrills(given: DrillArgs): Promise<number> {
  const { progress, signal, selection, stack, config } = given;
  const evidenceDir = config.files.evidence;
  const tell = (line: string): void => progress.line(line);
  const mending = mendingStateFiles(given.pulumi, { stack, projectDir: given.projectDir }, tell);
  const pulumi = clearingDeadLocks(mending, stack, tell);
  const args: DrillArgs = { ...given, pulumi };
  await using claim = await claimStack({ command: "drill", evidenceDir, stack });
  const client = given.client ?? new PveClient();
  await sweepBefore({ config, client, pulumi: given.pulumi, tell, signal, claimed: stack });
  await recoverStack({ pulumi, stack, evidenceDir, abandoned: claim.abandoned, progress });
  const archives = await archivesOf(args);
  const rows: DrillRow[] = [];
  try {
    for (const archive of archives) {
      signal.throwIfAborted();
      rows.push(await oneDrill(args, claim, archive));
    }
    signal.throwIfAborted();
  } finally {
    progress.line("");
    if (rows.length > 0) for (const line of drillTable(rows)) progress.line(line);
    const left = archives.length - rows.length;
    if (left > 0) progress.line(`${left} of ${archives.length} drills were not run or not finished.`);
  }
  const asked = selection.by === "last" ? selection.count : archives.length;
  return rows.length === asked && rows.every(isPassed) ? 0 : 1;
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

/** One drill up to its removal. Only a removal that fails is an error. */
async function oneDrill(args: DrillArgs, claim: Claim, archive: BackupItem | undefined): Promise<DrillRow> {
  const { stack, projectDir, progress, pulumi, signal, keep, config } = args;
  const before = await runsIn(config.files.evidence);
  await using copy = archive === undefined ? undefined : await copyNaming(projectDir, stack, archive.volid);
  const common = ["-s", stack, "--yes", "--skip-preview", ...(copy === undefined ? [] : ["--config-file", copy.file])];
  const title = archive === undefined ? `drill of stack ${stack}` : `drill of ${archive.volid}`;
  const update = keep ? pulumi : claimingRuns(pulumi, claim);
  const up = await attempt(progress, `${title}: pulumi up`, (onLine) => update(["up", ...common], { onLine, signal }));
  // What keeps Pulumi from beginning keeps it from reading the state and from destroying too.
  const noStart = up.code === 0 ? undefined : explainStart(up.output, stack);
  let runDir = noStart === undefined ? await ownRun(args, before) : undefined;
  if (up.code !== 0 && runDir === undefined && !signal.aborted) runDir = await refuse(args, archive, up);
  if (noStart !== undefined) throw new CliError(noStart);
  if (!keep || up.code !== 0) {
    if (runDir !== undefined) await claim.add(basename(runDir));
    const destroy = ["destroy", ...common];
    const down = await attempt(progress, `${title}: pulumi destroy`, (onLine) => pulumi(destroy, { onLine }));
    if (down.code !== 0) throw notRemoved(args, down);
  }
  const evidence = runDir === undefined ? undefined : await readEvidence(runDir);
  if (runDir !== undefined) progress.line(`report   ${join(runDir, "report.md")}`);
  const problem = problemOf(up, runDir, evidence);
  return { archive: archive?.volid, evidence, ...(problem === undefined ? {} : { problem }) };
}

/** What keeps a drill from counting, whatever its evidence says. */
function problemOf(up: PulumiResult, runDir: string | undefined, evidence: Evidence | undefined): string | undefined {
  if (runDir === undefined) return problemIn(up);
  if (evidence === undefined) return `run ${basename(runDir)} has no evidence; see its journal`;
  if (evidence.verdict !== "passed" || up.code === 0) return undefined;
  const ending = up.code === null ? "was ended by a signal" : `ended with code ${up.code}`;
  return `pulumi up ${ending} although the run's verdict is passed: ${problemIn(up)}`;
}

/** Writes down whatever kept the drill from beginning: configuration, engine, capacity. Gives the folder of the evidence. */
async function refuse(
  { config, stack }: DrillArgs,
  archive: BackupItem | undefined,
  up: PulumiResult,
): Promise<string> {
  const restorePoint: RestorePoint | null =
    archive === undefined
      ? null
      : { archive: archive.volid, archiveTime: archive.ctime, archiveBytes: archive.size, notes: archive.notes ?? "" };
  const { evidenceFile } = await recordRefusal({ ...plannedRun(config, stack), restorePoint }, problemIn(up));
  return dirname(evidenceFile);
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

/**
 * Folder of the run that this command's update has begun: the one in the stack's state, or, where none came to be, the
 * refusal that it wrote. Other stacks may write into the same evidence folder meanwhile.
 */
async function ownRun({ pulumi, stack, config }: DrillArgs, before: readonly string[]): Promise<string | undefined> {
  const { run } = await readDrillState(pulumi, stack);
  if (run !== undefined) return run.runDir;
  const evidenceDir = config.files.evidence;
  const added = (await runsIn(evidenceDir)).filter((name) => !before.includes(name)).sort();
  for (const runDir of added.reverse().map((name) => join(evidenceDir, name))) {
    const [first] = await readJournalIfThere(runDir);
    if (first?.type !== "run-started" && first?.type !== "run-refused") continue;
    if (first.stack === stack && first.node === config.node && first.vmId === config.drill.vmId) return runDir;
  }
  return undefined;
}

async function readEvidence(runDir: string): Promise<Evidence | undefined> {
  const text = await readFileIfThere(join(runDir, "drill.json"));
  return text === undefined ? undefined : evidenceSchema.parse(JSON.parse(text));
}
