/** Sees what a command does (its calls, its state, its journal, its own lines), and acts at one moment of it. */
import { type FSWatcher, existsSync, readdirSync, readFileSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import type { CallObserver } from "../../lab/faults/faults";
import { isSame, type KillPoint, type Moment, type Phase, type TimedMoment } from "./kill-points";

/** What is looked at besides the calls. */
export interface TimelineArgs {
  readonly stack: "drill" | "restore";
  /** Pulumi's file of the stack's state; it exists. */
  readonly stateFile: string;
  /** It exists. */
  readonly evidenceDir: string;
  /** Where to act; absent: only look. */
  readonly target?: KillPoint;
  readonly act: () => void;
}

export class Timeline implements CallObserver, Disposable {
  readonly moments: TimedMoment[] = [];
  private readonly begun = performance.now();
  private readonly counts = new Map<string, number>();
  private readonly watchers: FSWatcher[] = [];
  /** Lines that were seen, by journal. */
  private readonly journals = new Map<string, number>();
  private stateSeen = "";
  private phase: Phase;
  private timer: NodeJS.Timeout | undefined;
  private isOver = false;

  constructor(private readonly args: TimelineArgs) {
    this.phase = `${args.stack} up`;
    this.stateSeen = versionOf(args.stateFile);
    const stateDir = join(args.stateFile, "..");
    this.watchers.push(watch(stateDir, () => this.lookAtState()));
    this.watchers.push(watch(args.evidenceDir, () => this.lookForRuns()));
    this.lookForRuns(true);
  }

  /** Whether the moment came. */
  get hasActed(): boolean {
    return this.isOver;
  }

  before(method: string, path: string): boolean {
    return this.note(`${method} ${nameless(path)}`, "before");
  }

  after(method: string, path: string): boolean {
    return this.note(`${method} ${nameless(path)}`, "after");
  }

  /** A line that the command wrote. */
  line(text: string): void {
    const [, sign, title = ""] = /^([▸✓✗]) (.*)$/.exec(text) ?? [];
    if (sign === undefined) return;
    if (sign === "▸" && /pulumi destroy|forgetting the run/.test(title)) this.phase = `${this.args.stack} destroy`;
    this.note(`homelab ${sign} ${title.replace(/ \(.*| …$/, "")}`, "after");
  }

  [Symbol.dispose](): void {
    clearTimeout(this.timer);
    for (const one of this.watchers) one.close();
  }

  /** Gives false when the command was killed right now. */
  private note(what: string, when: Moment["when"]): boolean {
    if (this.isOver) return true;
    const { phase } = this;
    const key = [phase, what, when].join("\n");
    const nth = (this.counts.get(key) ?? 0) + 1;
    this.counts.set(key, nth);
    const moment = { phase, what, nth, when };
    this.moments.push({ ...moment, at: performance.now() - this.begun });
    const { target } = this.args;
    const isLatest = target?.latest !== undefined && isSame(target.latest, moment);
    if (target === undefined || this.timer !== undefined || !(isLatest || isSame(target, moment))) return true;
    if (target.delayMs === 0) {
      this.act();
      return false;
    }
    this.timer = setTimeout(() => this.act(), target.delayMs);
    return true;
  }

  private act(): void {
    this.isOver = true;
    this.args.act();
  }

  private lookAtState(): void {
    const version = versionOf(this.args.stateFile);
    if (version === this.stateSeen) return;
    this.stateSeen = version;
    this.note(`state ${sizeOf(this.args.stateFile)}`, "after");
  }

  /** @param isFirst What is there already is none of this command's. */
  private lookForRuns(isFirst = false): void {
    const { evidenceDir } = this.args;
    for (const entry of readdirSync(evidenceDir, { withFileTypes: true })) {
      const dir = join(evidenceDir, entry.name);
      if (!entry.isDirectory() || this.journals.has(dir)) continue;
      this.journals.set(dir, isFirst ? linesOf(dir).length : 0);
      this.watchers.push(watch(dir, (_, file) => this.lookAtRun(dir, file)));
      this.lookAtRun(dir, null);
    }
  }

  private lookAtRun(dir: string, file: string | null): void {
    const lines = linesOf(dir);
    const seen = this.journals.get(dir) ?? 0;
    this.journals.set(dir, lines.length);
    for (const line of lines.slice(seen)) {
      this.note(`journal ${/"type":"([\w-]+)"/.exec(line)?.[1] ?? "?"}`, "after");
    }
    if (file === "report.md") this.note("report", "after");
  }
}

/** The path without what is drawn anew for each run. */
function nameless(path: string): string {
  return path
    .replace(/UPID:[^/]+/, "{upid}")
    .replace(/vzdump-qemu-[^/]+/, "{archive}")
    .replace(/\/+$/, "");
}

/** Whole lines of a run's journal. */
function linesOf(dir: string): string[] {
  const file = join(dir, "journal.ndjson");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
}

/** How many resources and unfinished steps a state holds. Writes that follow each other at once may be seen as one. */
function sizeOf(stateFile: string): string {
  const text = existsSync(stateFile) ? readFileSync(stateFile, "utf8") : "{}";
  const { checkpoint } = JSON.parse(text) as { checkpoint?: { latest?: Partial<Record<string, unknown[]>> } };
  const { resources, pending_operations: pending } = checkpoint?.latest ?? {};
  return `${resources?.length ?? 0}+${pending?.length ?? 0}`;
}

/** Changes with each write. */
function versionOf(file: string): string {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? "" : `${found.ino} ${found.mtimeNs} ${found.size}`;
}
