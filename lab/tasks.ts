/**
 * Tasks as PVE keeps them: a UPID, and a log file whose last line is the outcome. Everything that can be asked later is read
 * from those two, so tasks outlive the daemon: a log without a final `TASK` line means `unexpected status`.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isUpid, parseUpid, printUpid, type Upid } from "../pve/upid";
import { messageOf, parameterError } from "./errors";
import { type TaskContext } from "./types";

/** What `GET …/tasks/{upid}/status` says. */
export interface TaskStatus {
  readonly upid: string;
  readonly node: string;
  readonly pid: number;
  readonly pstart: number;
  readonly starttime: number;
  readonly type: string;
  readonly id: string;
  readonly user: string;
  readonly tokenid?: string;
  readonly status: "running" | "stopped";
  readonly exitstatus?: string;
}

export interface TaskRequest {
  /** PVE's task type: `qmcreate`, `vzdump`, … */
  readonly type: string;
  /** What it works on, mostly a VMID; must not contain a colon. */
  readonly id: string;
  /** Caller as UPIDs carry it, `root@pam!lab`. */
  readonly user: string;
  readonly work: (context: TaskContext) => Promise<void>;
}

interface RunningTask {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** Starts, logs and remembers the tasks of one node. */
export class TaskStore {
  private readonly running = new Map<string, RunningTask>();
  private lastStart = 0;

  /** @param dir Folder of the log files; made when missing. */
  constructor(
    private readonly dir: string,
    private readonly node: string,
    private readonly now: () => Date = () => new Date(),
  ) {
    mkdirSync(dir, { recursive: true });
  }

  /** Starts the work and returns its UPID at once. */
  start(request: TaskRequest): string {
    const upid = this.newUpid(request);
    const file = this.fileOf(upid);
    writeFileSync(file, "");
    const abort = new AbortController();
    let warnings = 0;
    const log = (line: string): void => {
      if (/^WARN: /.test(line)) warnings++;
      appendFileSync(file, `${line.replace(/\n+$/, "")}\n`);
    };
    const done = (async () => {
      try {
        // The caller gets its UPID before the work begins.
        await new Promise((resolve) => setImmediate(resolve));
        await request.work({ log, signal: abort.signal });
        log(warnings > 0 ? `TASK WARNINGS: ${warnings}` : "TASK OK");
      } catch (error) {
        const text = abort.signal.aborted ? "interrupted by signal" : messageOf(error).trim();
        log(`TASK ERROR: ${text.replace(/\s*\n\s*/g, " ")}`);
      } finally {
        this.running.delete(upid);
      }
    })();
    this.running.set(upid, { abort, done });
    return upid;
  }

  /** @throws ApiError 400, as PVE, for a text that is no UPID or a task that never was. */
  status(upid: string): TaskStatus {
    const parsed = this.parse(upid);
    const { user, tokenId } = splitUser(parsed.user);
    const fields = { ...fieldsOf(parsed), upid, user, ...(tokenId === undefined ? {} : { tokenid: tokenId }) };
    if (this.running.has(upid)) return { ...fields, status: "running" };
    return { ...fields, status: "stopped", exitstatus: this.exitStatus(upid) };
  }

  /** Log lines from `start` (0 is the first); `limit` 0 is all of them. */
  log(upid: string, start: number, limit: number): { lines: { n: number; t: string }[]; total: number } {
    this.parse(upid);
    const lines = this.readLines(upid);
    if (lines.length === 0) return { lines: [{ n: 1, t: "no content" }], total: 1 };
    const end = limit === 0 ? lines.length : start + limit;
    return { lines: lines.slice(start, end).map((t, index) => ({ n: start + index + 1, t })), total: lines.length };
  }

  /** Asks a task to end (`DELETE …/tasks/{upid}`); a finished one stays as it is. */
  stop(upid: string): void {
    this.parse(upid);
    this.running.get(upid)?.abort.abort(new Error("received interrupt"));
  }

  /** All tasks, newest first. */
  list(): (TaskStatus & { endtime?: number })[] {
    const found = readdirSync(this.dir)
      .map((name) => decodeURIComponent(name))
      .filter((name) => isUpid(name))
      .map((upid) => {
        const status = this.status(upid);
        if (status.status === "running") return status;
        return { ...status, endtime: Math.floor(statSync(this.fileOf(upid)).mtimeMs / 1000) };
      });
    return found.sort((left, right) => right.starttime - left.starttime || right.pstart - left.pstart);
  }

  /** Stops everything that runs and waits for it: the daemon ends. */
  async stopAll(): Promise<void> {
    const tasks = [...this.running.values()];
    for (const task of tasks) task.abort.abort(new Error("received interrupt"));
    await Promise.all(tasks.map((task) => task.done));
  }

  /** Resolves when the task has ended, whatever its outcome. */
  async wait(upid: string): Promise<void> {
    await this.running.get(upid)?.done;
  }

  private newUpid({ type, id, user }: TaskRequest): string {
    const at = this.now().getTime();
    // PVE's pstart counts clock ticks; here it also keeps UPIDs of one second apart.
    this.lastStart = Math.max(this.lastStart + 1, Math.floor(process.uptime() * 100));
    return printUpid({
      node: this.node,
      pid: process.pid,
      pstart: this.lastStart,
      startTime: Math.floor(at / 1000),
      type,
      id,
      user,
    });
  }

  private parse(upid: string): Upid {
    if (!isUpid(upid)) throw parameterError({ upid: `unable to parse worker upid '${upid}'` });
    if (!existsSync(this.fileOf(upid))) throw parameterError({ upid: "no such task" });
    return parseUpid(upid);
  }

  private exitStatus(upid: string): string {
    const last = this.readLines(upid).at(-1);
    if (last === undefined) return "unable to read tail (got 0 bytes)";
    if (last === "TASK OK") return "OK";
    return /^TASK ERROR: (.*)$/.exec(last)?.[1] ?? /^TASK (WARNINGS: \d+)$/.exec(last)?.[1] ?? "unexpected status";
  }

  private readLines(upid: string): string[] {
    return readFileSync(this.fileOf(upid), "utf8").split("\n").slice(0, -1);
  }

  private fileOf(upid: string): string {
    return join(this.dir, encodeURIComponent(upid));
  }
}

function fieldsOf({
  node,
  pid,
  pstart,
  startTime,
  type,
  id,
}: Upid): Pick<TaskStatus, "node" | "pid" | "pstart" | "starttime" | "type" | "id"> {
  return { node, pid, pstart, starttime: startTime, type, id };
}

function splitUser(text: string): { user: string; tokenId?: string } {
  const [user = "", tokenId] = text.split("!", 2);
  return tokenId === undefined ? { user } : { user, tokenId };
}
