import type { CommandResult } from "../command";
import type { Step } from "../progress";
import { runInside, runInsideOrThrow } from "./inside";
import type { LabPaths } from "./paths";
import type { TokenHolder } from "./tokens";

/** Lines that say nothing by themselves; they go to the log only. */
const QUIET = /^\s*$|^@ |^(Diagnostics|Resources|Duration|Outputs):/;

/** Runs `pulumi` in the lab. What happens shows in the step, all of it goes to the log. */
export function pulumi(
  paths: LabPaths,
  args: readonly string[],
  step?: Step,
  options: { readonly allowFailure?: boolean; readonly timeoutMs?: number; readonly as?: TokenHolder } = {},
): Promise<CommandResult> {
  const onLine = (line: string): void => {
    if (QUIET.test(line)) step?.log(line);
    else step?.detail(line.trim());
  };
  const run = options.allowFailure === true ? runInside : runInsideOrThrow;
  return run(paths, ["pulumi", ...args, "--non-interactive", "--color=never"], {
    onLine,
    timeoutMs: options.timeoutMs,
    as: options.as,
  });
}
