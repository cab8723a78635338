import { causeOf, Interrupted } from "../errors";
import type { Progress } from "../progress";
import { keepLogs } from "./consoles";
import { logTail } from "./daemon";
import { takeLabDown } from "./down";
import { LAB_VARIABLE } from "./processes";
import { claimLab } from "./up";

export interface WithLabArgs {
  readonly id: string;
  readonly repoDir: string;
  readonly progress: Progress;
  /** Leave the lab running when the work succeeded. A lab whose work threw is always taken down. */
  readonly keepOnSuccess: boolean;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Claims a lab, does the work in it, and takes it down: after success, after an error, on Ctrl-C. What a `kill -9` leaves
 * is cleared by the next start or by `lab down`.
 */
export async function withLab<T>(args: WithLabArgs, work: () => Promise<T>): Promise<T> {
  const { progress } = args;
  const paths = await claimLab(args.id, args.repoDir, progress);
  // Inherited by every build and download that is started from here, so that `lab down` finds those too.
  process.env[LAB_VARIABLE] = args.id;
  let interrupt: (signal: NodeJS.Signals) => void = () => undefined;
  const interrupted = new Promise<never>((_resolve, reject) => {
    interrupt = (signal) => reject(new Interrupted(signal));
  });
  interrupted.catch(() => undefined); // raced below
  const handler = (signal: NodeJS.Signals): void => interrupt(signal);
  for (const signal of SIGNALS) process.on(signal, handler);
  let kept = false;
  try {
    const result = await Promise.race([work(), interrupted]);
    kept = args.keepOnSuccess;
    return result;
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      progress.log(`failed: ${causeOf(error)}`);
      progress.log(`the lab's own log ends with:\n${logTail(paths, 60)}`);
      keepLogs(paths, progress);
    }
    throw error;
  } finally {
    if (!kept) await progress.step("taking the lab down", () => takeLabDown(paths));
    for (const signal of SIGNALS) process.off(signal, handler);
  }
}
