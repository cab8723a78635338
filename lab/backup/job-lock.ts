/** One backup job at a time on a node. Source: pve-manager `PVE::VZDump::getlock`. */
import { type TaskContext } from "../types";

const LOCK_FILE = "/var/run/vzdump.lock";

/** Tasks that wait for the lock get it in the order in which they came. */
export class JobLock {
  private held = false;
  private readonly waiting: (() => void)[] = [];

  /** Takes the lock, waiting up to `waitMinutes`. Dispose what it returns to free it. Rejects with PVE's text. */
  async acquire(waitMinutes: number, context: TaskContext): Promise<Disposable> {
    if (this.held) {
      if (waitMinutes === 0) {
        context.log(`ERROR: can't acquire lock '${LOCK_FILE}' (wait = 0)`);
        throw new Error(`can't acquire lock '${LOCK_FILE}' (wait = 0)`);
      }
      context.log("INFO: trying to get global lock - waiting...");
      await this.wait(waitMinutes * 60_000, context);
      context.log("INFO: got global lock");
    }
    this.held = true;
    return {
      [Symbol.dispose]: () => {
        this.held = false;
        this.waiting.shift()?.();
      },
    };
  }

  private wait(timeoutMs: number, context: TaskContext): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer);
        context.signal.removeEventListener("abort", abort);
        const index = this.waiting.indexOf(granted);
        if (index >= 0) this.waiting.splice(index, 1);
        if (error === undefined) resolve();
        else reject(error);
      };
      const granted = (): void => {
        this.held = true; // before another task can take it
        finish();
      };
      const abort = (): void => finish(new Error("interrupted by signal"));
      const timer = setTimeout(() => {
        const text = `can't acquire lock '${LOCK_FILE}' - got timeout`;
        context.log(`ERROR: ${text}`);
        finish(new Error(text));
      }, timeoutMs);
      context.signal.addEventListener("abort", abort, { once: true });
      this.waiting.push(granted);
      if (context.signal.aborted) abort();
    });
  }
}
