import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import pc from "picocolors";
import { openLabShell, printShellHint } from "../lab/shell";
import { writeOwner } from "../lab/owner";
import { labPaths } from "../lab/paths";
import { prepareLab } from "../lab/prepare";
import { readStackFiles } from "../lab/stack-files";
import { bringLabUp, readOverlay } from "../lab/up";
import { withLab } from "../lab/with-lab";
import { duration, type Progress } from "../progress";
import { endRehearsal } from "./ending";
import { rehearsalEvidence } from "./evidence";
import { withdrawVerdict } from "./proof";
import { type ProofTarget, proofTarget } from "./proof-target";
import {
  backUp,
  bringProdUp,
  destroyDrill,
  type DrillEnd,
  drillStack,
  findProof,
  runDrill,
  type StepArgs,
  writeProof,
} from "./steps";

export interface RehearseArgs {
  readonly id: string;
  readonly repoDir: string;
  /** Leave the lab running and the drill standing, and open a shell in it where there is a terminal. */
  readonly keep: boolean;
  readonly progress: Progress;
}

/**
 * The whole rehearsal: production up, data written, backup, drill, verdict, and everything gone again. Returns the exit
 * code: 0 only if the drill passed and the data came back.
 */
export async function rehearse(args: RehearseArgs): Promise<number> {
  const { progress, repoDir } = args;
  const start = Date.now();
  const files = await readStackFiles(repoDir);
  drillStack({ files });
  const evidenceDir = rehearsalEvidence(repoDir);
  const exitCode = await withLab({ ...args, keepOnSuccess: args.keep }, async () => {
    const prepared = await prepareLab(files.images, progress);
    const lab = await bringLabUp({ ...args, files, prepared, evidenceDir, scheduler: args.keep });
    progress.line("What the lab replaces in your stacks:");
    for (const line of readOverlay(lab.paths).trimEnd().split("\n")) progress.line(pc.dim(`    ${line}`));
    const steps: StepArgs = { lab, progress, evidenceDir };

    await bringProdUp(steps);
    const title = `rehearsal ${randomBytes(4).toString("hex")}`;
    const target = proofTarget(files.catalogue, files.prod.config.zone);
    if (target === undefined) progress.line("No Miniflux in the catalogue, so the rehearsal writes no row of its own.");
    else await writeProof(steps, target, title);
    await backUp(steps);
    const drill = await runDrill(steps);
    const end = target === undefined ? drill : await proveData(steps, target, title, drill);
    if (!args.keep) await destroyDrill(steps);

    const code = endRehearsal(end, lab.paths, progress);
    progress.line(`The rehearsal took ${duration(Date.now() - start)}.`);
    if (args.keep) writeOwner(lab.paths, repoDir, true);
    return code;
  });
  if (args.keep) {
    for (const line of printShellHint(args.id)) progress.line(line);
    // Outside of withLab, because Ctrl-C in the shell must not take the lab down.
    if (process.stdin.isTTY && process.stdout.isTTY) await openLabShell(labPaths(args.id));
  }
  return exitCode;
}

/** A drill that passed must also hold the rehearsal's own row; otherwise its verdict is taken back. */
async function proveData(steps: StepArgs, target: ProofTarget, title: string, drill: DrillEnd): Promise<DrillEnd> {
  if (drill.evidence.verdict !== "passed") return drill;
  const outcome = await findProof(steps, target, title);
  if (outcome.status === "passed") return drill;
  const { runId } = drill.evidence;
  return { ...drill, evidence: await withdrawVerdict({ runId, runDir: dirname(drill.reportFile) }, outcome) };
}
