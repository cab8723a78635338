import { Interrupted } from "./errors";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** An interrupt that has not yet been answered. */
export interface Interruption extends Disposable {
  /** Aborts with `Interrupted` at the first Ctrl-C (or TERM, or HUP). */
  readonly signal: AbortSignal;
}

/** One Ctrl-C may arrive twice: from the terminal, and passed on by the process that started this one. */
const SAME_PRESS_MS = 500;

/**
 * Lets a command end in order at the first Ctrl-C; `goesOn` tells what it is doing about it. A second Ctrl-C ends the
 * process at once.
 */
export function watchInterrupts(goesOn: () => void): Interruption {
  const controller = new AbortController();
  let first = 0;
  const handler = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      if (Date.now() - first > SAME_PRESS_MS) process.exit(130);
      return;
    }
    first = Date.now();
    goesOn();
    controller.abort(new Interrupted(name));
  };
  for (const name of SIGNALS) process.on(name, handler);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const name of SIGNALS) process.off(name, handler);
    },
  };
}
