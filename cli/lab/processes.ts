/** Which processes belong to a lab, and how they are ended. Source: proc(5). */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand } from "../command";
import { hasCode } from "../errors";

/** Variable that everything started for a lab carries, inside its namespace or not. */
export const LAB_VARIABLE = "HOMELAB_LAB";

/** Start time of a process in clock ticks since boot; undefined if there is no such process. Tells a reused pid apart. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name in parentheses may contain spaces; field 22 is the 20th after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Processes in the namespace, and those outside that carry the lab's variable. Never this process or its ancestors. */
export async function processesOf(id: string, namespace: string): Promise<number[]> {
  const pids = new Set(await processesInside(namespace));
  for (const name of readdirSync("/proc")) {
    if (/^\d+$/.test(name) && environmentOf(Number(name)).includes(`${LAB_VARIABLE}=${id}`)) pids.add(Number(name));
  }
  const own = new Set(ancestors(process.pid));
  return [...pids].filter((pid) => !own.has(pid) && startTimeOf(pid) !== undefined);
}

async function processesInside(namespace: string): Promise<number[]> {
  // Without a namespace there may be no `ip` either: the packages come later.
  if (!existsSync(`/run/netns/${namespace}`)) return [];
  const { code, stdout } = await runCommand("ip", ["netns", "pids", namespace]);
  return code === 0 ? stdout.split("\n").filter(Boolean).map(Number) : [];
}

/** TERM, then KILL after `graceMs`. */
export async function endProcesses(find: () => Promise<number[]>, graceMs: number): Promise<void> {
  let left = await find();
  for (const pid of left) signal(pid, "SIGTERM");
  const deadline = Date.now() + graceMs;
  while (left.length > 0 && Date.now() < deadline) {
    await sleep(100);
    left = await find();
  }
  // Something may be started while the rest is ended; a few rounds catch that.
  for (let round = 0; left.length > 0 && round < 20; round++) {
    for (const pid of left) signal(pid, "SIGKILL");
    await sleep(100);
    left = await find();
  }
}

/** Sends a signal; a process that is gone is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!hasCode(error, "ESRCH")) throw error;
  }
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return []; // ended, or a kernel thread
  }
}

function ancestors(pid: number): number[] {
  const list: number[] = [];
  for (let current = pid; current > 0 && !list.includes(current); current = parentOf(current)) list.push(current);
  return list;
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0;
  }
}
