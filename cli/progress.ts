import { appendFileSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import pc from "picocolors";
import { hasCode } from "./errors";

/** What a running step may say. */
export interface Step {
  /** What it is at right now; shown beside the running seconds, replaced by the next one. */
  readonly detail: (text: string) => void;
  /** A line that stays on the screen. */
  readonly line: (text: string) => void;
  /** A line for the log file only. */
  readonly log: (text: string) => void;
}

interface ActiveStep {
  readonly title: string;
  readonly start: number;
  detail: string;
}

/** Where progress is written to. */
export interface ProgressOutput {
  readonly write: (text: string) => void;
  /** A terminal gets one line that is rewritten each second; anything else gets plain lines. */
  readonly isTerminal: boolean;
  readonly columns: () => number;
}

const PLAIN_INTERVAL_MS = 15_000;

/**
 * Tells what is being done and for how long. Steps may run side by side. Everything also goes into a log file, with times,
 * in full; the screen gets what a person needs.
 */
export class Progress implements Disposable {
  private readonly active: ActiveStep[] = [];
  private readonly timer: NodeJS.Timeout;
  private lastPlain = Date.now();
  private statusShown = false;

  constructor(
    /** Absolute path; made, and appended to. */
    readonly logFile: string,
    private readonly output: ProgressOutput = terminal(),
  ) {
    mkdirSync(dirname(logFile), { recursive: true });
    this.timer = setInterval(() => this.tick(), 1000);
    this.timer.unref();
  }

  /** Runs one step. A failed one says so with its duration; the error itself is the caller's to show. */
  async step<T>(title: string, work: (step: Step) => Promise<T>): Promise<T> {
    const step: ActiveStep = { title, start: Date.now(), detail: "" };
    this.active.push(step);
    this.log(`> ${title}`);
    if (!this.output.isTerminal) this.print(`${pc.cyan("▸")} ${title} …`);
    try {
      const result = await work({
        detail: (text) => {
          step.detail = text;
          this.log(text);
        },
        line: (text) => this.line(`  ${text}`),
        log: (text) => this.log(text),
      });
      this.finish(step, `${pc.green("✓")} ${title} ${pc.dim(`(${duration(Date.now() - step.start)})`)}`);
      return result;
    } catch (error) {
      this.finish(step, `${pc.red("✗")} ${title}: failed after ${duration(Date.now() - step.start)}`);
      throw error;
    }
  }

  /** A line that stays on the screen and in the log. */
  line(text: string): void {
    this.log(text);
    this.print(text);
  }

  /** A line for the log file only. */
  log(text: string): void {
    appendFileSync(this.logFile, `${new Date().toISOString()} ${text}\n`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
    this.clearStatus();
  }

  private finish(step: ActiveStep, text: string): void {
    this.active.splice(this.active.indexOf(step), 1);
    this.line(text);
  }

  private print(text: string): void {
    this.clearStatus();
    this.output.write(`${text}\n`);
    if (this.output.isTerminal) this.showStatus();
  }

  private tick(): void {
    if (this.output.isTerminal) {
      this.clearStatus();
      this.showStatus();
    } else if (Date.now() - this.lastPlain >= PLAIN_INTERVAL_MS) {
      this.lastPlain = Date.now();
      for (const step of this.active) this.output.write(`  ${this.statusOf(step)}\n`);
    }
  }

  private statusOf(step: ActiveStep): string {
    const detail = step.detail === "" ? "" : ` · ${step.detail}`;
    return `${step.title} … ${duration(Date.now() - step.start)}${detail}`;
  }

  private showStatus(): void {
    if (this.active.length === 0) return;
    const text = this.active.map((step) => this.statusOf(step)).join("  |  ");
    this.output.write(pc.dim(text.slice(0, Math.max(20, this.output.columns() - 1))));
    this.statusShown = true;
  }

  private clearStatus(): void {
    if (this.statusShown) this.output.write("\r\u001b[2K");
    this.statusShown = false;
  }
}

/** `8 s`, `2 min 05 s`, `1 h 02 min`. */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

let outlivesTerminal = false;

/**
 * A terminal that was closed, or a reader that ended, must not end the work by a failed write: a lab still has to be taken
 * down. The log file goes on.
 */
function outliveTerminal(): void {
  if (outlivesTerminal) return;
  outlivesTerminal = true;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (!hasCode(error, "EIO") && !hasCode(error, "EPIPE")) throw error;
    });
  }
}

function terminal(): ProgressOutput {
  outliveTerminal();
  return {
    write: (text) => process.stdout.write(text),
    isTerminal: process.stdout.isTTY && process.env["CI"] === undefined && process.env["TERM"] !== "dumb",
    columns: () => process.stdout.columns,
  };
}
