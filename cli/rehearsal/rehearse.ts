import { randomBytes } from "node:crypto";
import { join } from "node:path";
import pc from "picocolors";
import { openLabShell, printShellHint } from "../lab/shell";
import { writeOwner } from "../lab/owner";
import { labPaths } from "../lab/paths";
import { prepareLab } from "../lab/prepare";
import { readStackFiles } from "../lab/stack-files";
import { bringLabUp, readOverlay } from "../lab/up";
import { withLab } from "../lab/with-lab";
import { duration, type Progress } from "../progress";
import { printVerdict } from "./evidence";
import { backUp, bringProdUp, destroyDrill, drillStack, findProof, runDrill, type StepArgs, writeProof } from "./steps";

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
  const exitCode = await withLab({ ...args, keepOnSuccess: args.keep }, async () => {
    const prepared = await prepareLab(files.images, progress);
    const lab = await bringLabUp({ ...args, files, prepared });
    progress.line("What the lab replaces in your stacks:");
    for (const line of readOverlay(lab.paths).trimEnd().split("\n")) progress.line(pc.dim(`    ${line}`));
    const steps: StepArgs = { lab, progress, evidenceDir: join(repoDir, "drills") };

    await bringProdUp(steps);
    const title = `rehearsal ${randomBytes(4).toString("hex")}`;
    await writeProof(steps, title);
    await backUp(steps);
    const { evidence, reportFile } = await runDrill(steps);
    const passed = evidence.verdict === "passed";
    if (passed) await findProof(steps, title);
    if (!args.keep) await destroyDrill(steps);

    progress.line("");
    for (const line of printVerdict(evidence)) progress.line(passed ? pc.green(line) : pc.red(line));
    progress.line(`report   ${reportFile}`);
    progress.line(`log      ${progress.logFile}`);
    progress.line(`The rehearsal took ${duration(Date.now() - start)}.`);
    if (args.keep) writeOwner(lab.paths, repoDir, true);
    return passed ? 0 : 1;
  });
  if (args.keep) {
    for (const line of printShellHint(args.id)) progress.line(line);
    // Outside of withLab, because Ctrl-C in the shell must not take the lab down.
    if (process.stdin.isTTY && process.stdout.isTTY) await openLabShell(labPaths(args.id));
  }
  return exitCode;
}
