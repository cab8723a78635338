/** Whether the process that wrote a journal still runs. */
import { readFile } from "node:fs/promises";
import { hasCode, readFileIfThere } from "./files";

/** Clock ticks a second in `/proc`; fixed for user space on Linux (`USER_HZ`). */
const TICKS_PER_SECOND = 100;
/** Slack between two clocks that both are of this machine. */
const SLACK_MS = 2000;

/**
 * Whether a process of this id exists that already existed at `since`; a later one has only got the id again. Where there is no
 * `/proc`, any process of this id counts.
 */
export async function isProcessAlive(pid: number, since: Date): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return hasCode(error, "EPERM");
  }
  const stat = await readFileIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return true;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Killed, but nobody has asked for its end yet, as in containers without an init.
  if (fields[0] === "Z" || fields[0] === "X") return false;
  const started = await startOf(Number(fields[19]));
  return started === undefined || started.getTime() <= since.getTime() + SLACK_MS;
}

async function startOf(ticks: number): Promise<Date | undefined> {
  const boot = /^btime (\d+)$/m.exec(await readFile("/proc/stat", "utf8"))?.[1];
  if (!Number.isFinite(ticks) || boot === undefined) return undefined;
  return new Date((Number(boot) + ticks / TICKS_PER_SECOND) * 1000);
}
