/** Removes what a run left at its VMID, and nothing else. */
import { findGuest } from "../pve/cluster/resources";
import { PveNotFound } from "../pve/errors";
import { destroyVm, stopVm, vmConfig, vmStatus } from "../pve/nodes/qemu";
import { stopTask, type TaskListItem, tasksOfVm, waitForTask } from "../pve/nodes/tasks";
import { parseUpid } from "../pve/upid";
import type { JournalEvent } from "./contract/evidence";
import type { RunRef } from "./contract/run";
import type { ProviderContext } from "./definition";
import { ownershipOf } from "./ownership";

const STOP_TIMEOUT_MS = 120_000;
const DESTROY_TIMEOUT_MS = 600_000;
/** How long after the request the restore task of a call may begin whose answer was lost. */
const LOST_ANSWER_SECONDS = 300;

/** What was done. */
export interface Removal {
  /** Nothing is left at the run's VMID; false: what is there is not the run's and was left alone. */
  readonly gone: boolean;
  /** For people and the journal. */
  readonly detail: string;
}

/**
 * Removes the VM at the run's VMID if it is the run's own: by marker, name and UUID, or as the husk of the run's own restore
 * task, which is ended first. A missing VM is fine. Another VM is left alone, which is said.
 *
 * @throws Error when the VM carries only part of the run's proof, because then a person changed it.
 */
export async function removeRunVm(
  context: ProviderContext,
  run: RunRef,
  events: readonly JournalEvent[],
): Promise<Removal> {
  const { client } = context;
  const restores = ownRestores(events, await tasksOfVm(client, run.node, run.vmId));
  await endRunning(context, restores);
  const node = (await findGuest(client, run.vmId))?.node ?? run.node;
  const what = `VM ${run.vmId} on ${node}`;
  const config = await configIfThere(context, node, run.vmId);
  if (config === undefined) return { gone: true, detail: `no VM ${run.vmId} is left` };
  const ownership = ownershipOf(config, run);
  switch (ownership) {
    case "foreign":
      return {
        gone: false,
        detail: `${what} (${config["name"] ?? "without a name"}) is not of this run and was left alone`,
      };
    case "altered":
      throw new Error(
        `Unable to remove ${what}: it carries part of the proof of run ${run.runId}, but its name is ` +
          `"${config["name"] ?? ""}" and not "${run.vmName}", or its marker or UUID was changed. ` +
          "Undo the change, or remove the VM by hand, and try again.",
      );
    case "husk":
      if (restores.length === 0) {
        return { gone: false, detail: `${what} is empty, but no restore of this run made it; it was left alone` };
      }
      break;
    case "own":
      break;
  }
  await destroy(context, node, run.vmId);
  return {
    gone: true,
    detail: `${what} was removed with its disks${ownership === "husk" ? " (rest of a failed restore)" : ""}`,
  };
}

/** Restore tasks of this run: the recorded one, or one that began just after a request whose answer was lost. */
function ownRestores(events: readonly JournalEvent[], tasks: readonly TaskListItem[]): TaskListItem[] {
  const accepted = new Set(events.flatMap((event) => (event.type === "restore-accepted" ? [event.upid] : [])));
  const requested = events.find((event) => event.type === "restore-requested");
  if (requested === undefined || events.some(({ type }) => type === "restore-refused")) return [];
  const from = Date.parse(requested.at) / 1000;
  return tasks.filter((task) => {
    if (task.type !== "qmrestore") return false;
    if (accepted.size > 0) return accepted.has(task.upid);
    return task.starttime >= from - 60 && task.starttime <= from + LOST_ANSWER_SECONDS;
  });
}

async function endRunning({ client, signal }: ProviderContext, tasks: readonly TaskListItem[]): Promise<void> {
  for (const task of tasks.filter(({ endtime }) => endtime === undefined)) {
    await stopTask(client, parseUpid(task.upid).node, task.upid, { timeoutMs: STOP_TIMEOUT_MS, signal });
  }
}

async function configIfThere(
  { client }: ProviderContext,
  node: string,
  vmId: number,
): Promise<Record<string, string> | undefined> {
  try {
    return await vmConfig(client, node, vmId);
  } catch (error) {
    if (error instanceof PveNotFound) return undefined;
    throw error;
  }
}

async function destroy({ client, signal }: ProviderContext, node: string, vmId: number): Promise<void> {
  try {
    if ((await vmStatus(client, node, vmId)).status === "running") {
      await waitForTask(client, await stopVm(client, node, vmId), { timeoutMs: STOP_TIMEOUT_MS, signal });
    }
    await waitForTask(client, await destroyVm(client, node, vmId), { timeoutMs: DESTROY_TIMEOUT_MS, signal });
  } catch (error) {
    if (error instanceof PveNotFound) return;
    throw new Error(
      `Unable to remove VM ${vmId} on ${node}: ${error instanceof Error ? error.message : String(error)}. ` +
        "Remove the cause and run pulumi destroy again.",
      { cause: error },
    );
  }
}
