import type { Progress } from "../progress";
import { rehearsalEvidence } from "../rehearsal/evidence";
import { writeOwner } from "./owner";
import { prepareLab } from "./prepare";
import { printShellHint } from "./shell";
import { readStackFiles } from "./stack-files";
import { bringLabUp } from "./up";
import { withLab } from "./with-lab";

/** Starts a lab for the operator's stacks and leaves it running. */
export async function startLab(args: { id: string; repoDir: string; progress: Progress }): Promise<void> {
  const { progress, repoDir, id } = args;
  const files = await readStackFiles(repoDir);
  await withLab({ ...args, keepOnSuccess: true }, async () => {
    const prepared = await prepareLab(files.images, progress);
    const lab = await bringLabUp({
      ...args,
      files,
      prepared,
      evidenceDir: rehearsalEvidence(repoDir),
      scheduler: true,
    });
    writeOwner(lab.paths, repoDir, true);
  });
  for (const line of printShellHint(id)) progress.line(line);
}
