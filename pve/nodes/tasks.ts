/** PVE `/nodes/{node}/tasks`: status, log, and waiting for the end of a task. */
import { z } from "zod";
import { type CallOptions, type PveClient, pvePath } from "../client";
import { isPassing, PveApiError, PveError, PveNotFound } from "../errors";
import { parseUpid } from "../upid";
import { lookMs, pollUntil, type WaitOptions } from "../wait";
import { pveNumber, upidText } from "../wire";

const statusSchema = z.object({
  status: z.enum(["running", "stopped"]),
  /** Only when stopped: `OK`, `WARNINGS: n` or the error. */
  exitstatus: z.string().optional(),
});

const logSchema = z.array(z.object({ n: pveNumber, t: z.string() }));

const listSchema = z.array(
  z.object({
    upid: upidText,
    type: z.string(),
    id: z.string().nullish(),
    user: z.string(),
    starttime: pveNumber,
    endtime: pveNumber.optional(),
    status: z.string().optional(),
  }),
);
export type TaskListItem = z.infer<typeof listSchema>[number];

/** How a task ended well. */
export interface TaskEnd {
  /** `WARNINGS: n` counts as success; PVE did the work. */
  readonly exitStatus: string;
}

const LOG_TAIL = 15;
/** Limit for reading a log, which only explains something else. */
const LOG_MS = 5000;
/** How long a new task may be unknown: its status can answer 400 just after the call that started it. */
const UNKNOWN_MS = 5000;

/** How long a server may answer with errors only before the wait ends with the last of them. */
const PASSING_MS = 60_000;

/** A task that ended with an error. */
export class PveTaskFailed extends Error {
  constructor(
    readonly upid: string,
    /** PVE's own words. */
    readonly exitStatus: string,
    readonly logTail: readonly string[],
  ) {
    super(`The Proxmox task ${upid} failed: ${exitStatus}${printTail(logTail)}`);
    this.name = "PveTaskFailed";
  }
}

/** A task that had not ended in time. It may still be running. */
export class PveTaskTimeout extends Error {
  constructor(
    readonly upid: string,
    timeoutMs: number,
    readonly logTail: readonly string[],
    /** What kept the last look at the task from an answer; undefined: it was running. */
    lastProblem?: PveError,
  ) {
    const seen = lastProblem === undefined ? "." : `; last seen: ${lastProblem.message}`;
    super(
      `The Proxmox task ${upid} had not ended after ${Math.round(timeoutMs / 1000)} s${seen}${printTail(logTail)}`,
      lastProblem === undefined ? undefined : { cause: lastProblem },
    );
    this.name = "PveTaskTimeout";
  }
}

function printTail(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `\nEnd of its log:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

export interface TaskWait extends WaitOptions {
  /** Gets the newest line of the task's log every few seconds. */
  readonly onLog?: (line: string) => void;
}

/** Time between two looks at a running task's log. */
const LOG_PAUSE_MS = 3000;

/**
 * Waits for a task. Polls from 100 ms up to each second. A connection that breaks is not the task's end, nor is a stray error of
 * the server; errors alone for a minute are. Whether its log can be read changes nothing.
 *
 * @throws PveTaskFailed, PveTaskTimeout; the signal's reason when ended.
 */
export async function waitForTask(client: PveClient, upid: string, options: TaskWait): Promise<TaskEnd> {
  const { node } = parseUpid(upid);
  const path = pvePath`/nodes/${node}/tasks/${upid}/status`;
  const begun = performance.now();
  let lastLog = begun;
  let lastProblem: PveError | undefined;
  let problemSince: number | undefined;
  const exitStatus = await pollUntil(options, async (leftMs) => {
    try {
      const call = { signal: options.signal, timeoutMs: lookMs(leftMs) };
      const { status, exitstatus } = await client.get(path, statusSchema, {}, call);
      lastProblem = undefined;
      problemSince = undefined;
      if (status !== "running") return exitstatus ?? "unexpected status";
      if (options.onLog !== undefined && performance.now() - lastLog >= LOG_PAUSE_MS) {
        lastLog = performance.now();
        const line = await newestLine(client, upid, options.signal);
        if (line !== undefined) options.onLog(line);
      }
      return undefined;
    } catch (error) {
      if (error instanceof PveNotFound && performance.now() - begun < UNKNOWN_MS) return undefined;
      if (!isPassing(error)) throw error;
      lastProblem = error;
      problemSince ??= performance.now();
      if (error instanceof PveApiError && performance.now() - problemSince >= PASSING_MS) throw error;
      return undefined;
    }
  });
  if (exitStatus === undefined) {
    throw new PveTaskTimeout(upid, options.timeoutMs, await taskLogTail(client, upid), lastProblem);
  }
  if (exitStatus !== "OK" && !/^WARNINGS: \d+$/.test(exitStatus)) {
    throw new PveTaskFailed(upid, exitStatus, await taskLogTail(client, upid));
  }
  return { exitStatus };
}

/** Lines of a task's log from line `start` (0 is the first). */
export async function taskLog(
  client: PveClient,
  upid: string,
  start = 0,
  limit = 500,
  options?: CallOptions,
): Promise<string[]> {
  const { node } = parseUpid(upid);
  const lines = await client.get(pvePath`/nodes/${node}/tasks/${upid}/log`, logSchema, { start, limit }, options);
  return lines.map(({ t }) => t);
}

/** The newest line of a running task's log; none if the log can't be read, because it only tells how far the task is. */
async function newestLine(client: PveClient, upid: string, signal?: AbortSignal): Promise<string | undefined> {
  try {
    return (await taskLog(client, upid, 0, 5000, { signal, timeoutMs: LOG_MS })).at(-1);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof PveError) return undefined;
    throw error;
  }
}

/** The last lines of a task's log; empty if the log can't be read, because it only explains another error. */
async function taskLogTail(client: PveClient, upid: string): Promise<readonly string[]> {
  try {
    return (await taskLog(client, upid, 0, 5000, { timeoutMs: LOG_MS }))
      .filter((line) => line !== "no content")
      .slice(-LOG_TAIL);
  } catch (error) {
    return [`(the log could not be read: ${error instanceof Error ? error.message : String(error)})`];
  }
}

/** Recent tasks of a VM on a node, running ones included. */
export async function tasksOfVm(client: PveClient, node: string, vmId: number): Promise<TaskListItem[]> {
  return client.get(pvePath`/nodes/${node}/tasks`, listSchema, { source: "all", vmid: vmId, limit: 50 });
}

/** Running tasks of a node that the token may see: its own, or all. */
export async function runningTasks(client: PveClient, node: string): Promise<TaskListItem[]> {
  return client.get(pvePath`/nodes/${node}/tasks`, listSchema, { source: "active", limit: 500 });
}

/** Stops a running task and waits until it has ended, however it ended. */
export async function stopTask(client: PveClient, node: string, upid: string, options: WaitOptions): Promise<void> {
  await client.delete(pvePath`/nodes/${node}/tasks/${upid}`, z.unknown(), {}, { signal: options.signal });
  try {
    await waitForTask(client, upid, options);
  } catch (error) {
    if (!(error instanceof PveTaskFailed)) throw error;
  }
}
