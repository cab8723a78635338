/** The lock of a stack whose state lies in files or a bucket: it outlives a Pulumi that was killed. */
import { hostname } from "node:os";
import { isProcessAlive } from "../../provider/process-alive";
import { errorsIn } from "../pulumi-errors";
import type { RunPulumi } from "./pulumi";

/** Who holds a lock, in Pulumi's words. */
interface Holder {
  readonly host: string;
  readonly pid: number;
  readonly since: Date;
}

/**
 * Runs `pulumi`, and where a lock stops it whose process is dead, releases the stack and runs the same once more. A locked
 * command has done nothing, so that is safe. A lock of another computer, or one that can't be judged, stays.
 */
export function clearingDeadLocks(pulumi: RunPulumi, stack: string, tell: (line: string) => void): RunPulumi {
  return async (args, options) => {
    const result = await pulumi(args, options);
    const holders = result.code === 0 ? undefined : holdersIn(result.output);
    if (holders === undefined || !(await areDead(holders))) return result;
    const pids = holders.map(({ pid }) => pid).join(", ");
    tell(`Stack ${stack} was locked by process ${pids} of this computer, which is dead; releasing it.`);
    const released = await pulumi(["cancel", "-s", stack, "--yes"]);
    return released.code === 0 ? pulumi(args, options) : released;
  };
}

/** Source: `checkForLock` in pulumi's `pkg/backend/diy/lock.go`. Undefined unless every lock tells its holder. */
function holdersIn(output: string): Holder[] | undefined {
  const errors = errorsIn(output).join("\n");
  const count = Number(/stack is currently locked by (\d+) lock/.exec(errors)?.[1] ?? 0);
  const holders = [...errors.matchAll(/created by .*@(\S+) \(pid (\d+)\) at (\S+)/g)].map(
    ([, host = "", pid, at = ""]): Holder => ({ host, pid: Number(pid), since: new Date(at) }),
  );
  return count > 0 && holders.length === count ? holders : undefined;
}

async function areDead(holders: readonly Holder[]): Promise<boolean> {
  const dead = holders.map(async ({ host, pid, since }) => {
    return host === hostname() && !Number.isNaN(since.getTime()) && !(await isProcessAlive(pid, since));
  });
  return (await Promise.all(dead)).every(Boolean);
}
