/** Which command lines processes of this machine had while something ran. */
import { readFileSync, readdirSync } from "node:fs";

/** Often enough to see what lives longer than this. */
const INTERVAL_MS = 50;

export class ProcessWatch implements Disposable {
  private readonly seen = new Map<string, string>();
  private readonly timer: NodeJS.Timeout;

  constructor() {
    this.look();
    this.timer = setInterval(() => this.look(), INTERVAL_MS).unref();
  }

  /** Each once, its arguments separated by spaces. */
  get commandLines(): string[] {
    return [...new Set(this.seen.values())];
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }

  /** A process that replaces its program keeps its number: it is looked at twice. */
  private look(): void {
    const running = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    for (const pid of running) {
      for (const key of [`${pid} first`, `${pid} second`]) {
        if (this.seen.has(key)) continue;
        const line = commandLine(pid);
        if (line !== undefined) this.seen.set(key, line);
        break;
      }
    }
  }
}

function commandLine(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return undefined; // it has ended
  }
}
