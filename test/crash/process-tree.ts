/** Kills a command with everything that it has started, wherever that stands in the tree of processes. */
import { readdirSync, readFileSync } from "node:fs";

/** Variable that a command and all that it starts carry. */
export const TREE_VARIABLE = "HOMELAB_TEST_TREE";

/** Living processes of a tree. Found by their environment, so that one whose parent has ended is found too. */
export function treeOf(id: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => environmentOf(pid).includes(`${TREE_VARIABLE}=${id}\0`));
}

/** SIGKILL to all at one moment: they are stopped first, so that none starts another meanwhile. Gives how many there were. */
export function killTree(id: string): number {
  const stopped = new Set<number>();
  for (let fresh = treeOf(id); fresh.length > 0; fresh = treeOf(id).filter((pid) => !stopped.has(pid))) {
    for (const pid of fresh) {
      signal(pid, "SIGSTOP");
      stopped.add(pid);
    }
  }
  for (const pid of stopped) signal(pid, "SIGKILL");
  return stopped.size;
}

/** Empty for a process that has ended. */
function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch {
    return "";
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
