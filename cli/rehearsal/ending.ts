/** How a rehearsal ends on the screen. */
import pc from "picocolors";
import { keepLogs } from "../lab/consoles";
import type { LabPaths } from "../lab/paths";
import type { Progress } from "../progress";
import { printVerdict } from "./evidence";
import type { DrillEnd } from "./steps";

/**
 * Says the verdict and where report and logs are. A drill that did not pass keeps the lab's logs, which else go with the lab: why a
 * guest or its services did not come up stands on its console. Returns the exit code.
 */
export function endRehearsal({ evidence, reportFile }: DrillEnd, paths: LabPaths, progress: Progress): number {
  const passed = evidence.verdict === "passed";
  progress.line("");
  for (const line of printVerdict(evidence)) progress.line(passed ? pc.green(line) : pc.red(line));
  progress.line(`report   ${reportFile}`);
  progress.line(`log      ${progress.logFile}`);
  if (!passed) keepLogs(paths, progress);
  return passed ? 0 : 1;
}
