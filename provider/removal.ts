/** Removes what a run left at its VMID, and nothing else. */
import { findGuest } from "../pve/cluster/resources";
import { PveNotFound } from "../pve/errors";
import { destroyVm, stopVm, vmConfig, vmStatus } from "../pve/nodes/qemu";
import { stopTask, type TaskListItem, tasksOfVm, waitForTask } from "../pve/nodes/tasks";
import { parseUpid } from "../pve/upid";
import { disksOf } from "./aside-vm";
import type { JournalEvent } from "./contract/evidence";
import type { RemovalLimits, RunKind, RunRef } from "./contract/run";
import type { ProviderContext } from "./definition";
import { volumesOf } from "./free-vm-id";
import { journalFile } from "./journal";
import { ownershipOf } from "./ownership";
import { messageOf } from "./text";

/** How long after the request the restore task of a call may begin whose answer was lost. */
const LOST_ANSWER_SECONDS = 300;

/** A run whose VM is to be removed, as state and journal tell it. */
export interface RemovableRun {
  readonly kind: RunKind;
  readonly run: RunRef;
  /** Host and port of the API that the run was made on; undefined in a state of an older version. */
  readonly endpoint: string | undefined;
  /** Empty when the journal is missing. */
  readonly events: readonly JournalEvent[];
  readonly limits: RemovalLimits;
}

/** Whom the removal asks, and what cuts its waits short. */
type Context = Pick<ProviderContext, "client" | "signal">;

/** What was done. */
export interface Removal {
  /** Nothing is left at the run's VMID; false: what is there is not the run's and was left alone. */
  readonly gone: boolean;
  /** For people and the journal. */
  readonly detail: string;
}

/**
 * Removes the VM at the run's VMID if it is the run's own: by marker, name and UUID, or as the husk of the run's own restore
 * task, which is ended first. A missing VM is fine, another one is left alone; both only if this is the cluster of the run.
 *
 * @throws Error when the VM carries only part of the run's proof, because then a person changed it; when it can't be told
 * whether an empty VM is the run's or whether this is the run's cluster; when the VM is still there afterwards.
 */
export async function removeRunVm(context: Context, removable: RemovableRun): Promise<Removal> {
  const { client } = context;
  const { kind, run, events } = removable;
  if (events.some(({ type }) => type === "handed-over")) {
    return { gone: false, detail: `VM ${run.vmId} was restored and handed over; it is production and stays` };
  }
  const tasks = await tasksOn(context, run);
  const restores = ownRestores(events, tasks, client.tokenId);
  await endRunning(context, restores, removable.limits);
  const node = (await findGuest(client, run.vmId))?.node ?? run.node;
  const what = `VM ${run.vmId} on ${node}`;
  const config = await configIfThere(context, node, run.vmId);
  if (config === undefined) {
    requireSameCluster(context, removable, tasks, `has no VM ${run.vmId}`);
    return { gone: true, detail: `no VM ${run.vmId} is left` };
  }
  const ownership = ownershipOf(config, run);
  switch (ownership) {
    case "foreign":
      if (kind === "emergency") return { gone: false, detail: `${what} is not of this run and was left alone` };
      requireSameCluster(context, removable, tasks, `has another VM ${run.vmId}`);
      return {
        gone: false,
        detail: `${what} (${config["name"] ?? "without a name"}) is not of this run and was left alone`,
      };
    case "altered":
      // The original identity without the marker is production itself.
      if (kind === "emergency")
        return { gone: false, detail: `${what} carries no mark of this run and was left alone` };
      throw new Error(
        `Unable to remove ${what}: it carries part of the proof of run ${run.runId}, but its name is ` +
          `"${config["name"] ?? ""}" and not "${run.vmName}", or its marker or UUID was changed. ` +
          "Undo the change, or remove the VM by hand, and try again.",
      );
    case "husk":
      if (restores.length > 0) break;
      requireJournal(removable, what);
      return { gone: false, detail: `${what} is empty, but no restore of this run made it; it was left alone` };
    case "own":
      break;
  }
  requireUnlocked(config["lock"], node, run.vmId);
  requireNoFoundDisks(removable, config, what);
  if (kind === "emergency") await requireStopped(context, node, run.vmId);
  const left = await destroy(context, node, removable);
  return {
    gone: true,
    detail:
      `${what} was removed with its disks${ownership === "husk" ? " (rest of a failed restore)" : ""}` +
      (left.length === 0 ? "" : `; of its VMID there is still ${left.join(", ")}, which may not be the run's`),
  };
}

async function tasksOn({ client }: Context, run: RunRef): Promise<TaskListItem[]> {
  try {
    return await tasksOfVm(client, run.node, run.vmId);
  } catch (error) {
    throw new Error(
      `Unable to look for VM ${run.vmId} of run ${run.runId} on node ${run.node} of ${client.host}: ${messageOf(error)} ` +
        "If this is not the cluster of the run, set PROXMOX_VE_ENDPOINT to it and run pulumi destroy again.",
      { cause: error },
    );
  }
}

/** Restore tasks of this run: the recorded one, or one of its token that began just after a request whose answer was lost. */
function ownRestores(
  events: readonly JournalEvent[],
  tasks: readonly TaskListItem[],
  presentTokenId: string,
): TaskListItem[] {
  const accepted = acceptedRestores(events);
  const requested = events.find((event) => event.type === "restore-requested");
  if (requested === undefined || events.some(({ type }) => type === "restore-refused")) return [];
  const from = Date.parse(requested.at) / 1000 + clockOffset(events);
  const tokenId = requested.tokenId ?? presentTokenId;
  return tasks.filter((task) => {
    if (task.type !== "qmrestore" && task.type !== "qmcreate") return false;
    if (accepted.size > 0) return accepted.has(task.upid);
    if (parseUpid(task.upid).user !== tokenId) return false;
    return task.starttime >= from - 60 && task.starttime <= from + LOST_ANSWER_SECONDS;
  });
}

function acceptedRestores(events: readonly JournalEvent[]): Set<string> {
  return new Set(events.flatMap((event) => (event.type === "restore-accepted" ? [event.upid] : [])));
}

/** The node's clock minus this computer's when the run began, in seconds. */
function clockOffset(events: readonly JournalEvent[]): number {
  return events.find((event) => event.type === "run-started")?.clockOffsetSeconds ?? 0;
}

/** What is not at the VMID of another cluster proves nothing. */
function requireSameCluster(
  { client }: Context,
  { run, endpoint, events }: RemovableRun,
  tasks: readonly TaskListItem[],
  seen: string,
): void {
  if (endpoint === client.host) return;
  const accepted = acceptedRestores(events);
  if (tasks.some(({ upid }) => accepted.has(upid))) return;
  // A whole journal without a request: nothing was ever made anywhere.
  if (events.length > 0 && !events.some(({ type }) => type === "restore-requested")) return;
  const made = endpoint === undefined ? "where the run was made is not recorded" : `the run was made on ${endpoint}`;
  throw new Error(
    `Unable to show that VM ${run.vmId} of run ${run.runId} is gone: ${client.host} ${seen}, but ${made}, and no task of ` +
      `node ${run.node} there is the run's restore. Set PROXMOX_VE_ENDPOINT to the cluster of the run and run pulumi destroy ` +
      "again. If you have made sure that the VM is gone, forget the run with pulumi state delete --all.",
  );
}

/** Without the journal nobody knows whether a restore of the run made an empty VM. */
function requireJournal({ run, events }: RemovableRun, what: string): void {
  if (events.length > 0) return;
  throw new Error(
    `Unable to remove ${what}: it is empty, as a failed restore leaves it, but the journal ${journalFile(run.runDir)} is ` +
      `missing, so nothing shows that run ${run.runId} made it. Put the journal back, or remove the VM by hand if nobody ` +
      `needs it (qm destroy ${run.vmId}), and run pulumi destroy again.`,
  );
}

/** No task of the run is running any more, so what still locks the VM is a leftover or somebody else's. */
function requireUnlocked(lock: string | undefined, node: string, vmId: number): void {
  if (lock === undefined) return;
  throw new Error(
    `Unable to remove VM ${vmId} on ${node}: it is locked (${lock}). Wait if a task works on it; if none does, as after a ` +
      `crash of the node, run "qm unlock ${vmId}" on ${node}. Then run pulumi destroy again.`,
  );
}

/**
 * A restore takes disks of its VMID that lie about into the new configuration as `unusedN`, and Proxmox deletes these with the VM,
 * whatever is asked for. Where nothing was restored, every disk is somebody else's. Source: qemu-server `PVE::QemuServer::rescan`,
 * `destroy_vm` (`include_unused`).
 */
function requireNoFoundDisks(
  { run, events }: RemovableRun,
  config: Readonly<Record<string, string>>,
  what: string,
): void {
  const isEmpty = events.some(({ type }) => type === "restore-refused");
  const found = disksOf(config).filter(({ disk }) => isEmpty || (!hadNoVolumes(events) && /^unused\d+$/.test(disk)));
  if (found.length === 0) return;
  throw new Error(
    `Unable to remove ${what}: its configuration names disks that ${isEmpty ? "the run did not make" : "may have been there before the run"}, ` +
      `${found.map(({ disk, volume }) => `${disk} ${volume}`).join(", ")}, and Proxmox would delete them with it. If they are wanted, take ` +
      `these lines out of /etc/pve/qemu-server/${run.vmId}.conf on the node; then run pulumi destroy again.`,
  );
}

/** Whether the run saw, when it looked last, that the VMID had no disks before its restore. */
function hadNoVolumes(events: readonly JournalEvent[]): boolean {
  const looks = events.flatMap((event) => ("hadNoVolumes" in event ? [event.hadNoVolumes] : []));
  return looks.at(-1) === true;
}

/** The run never starts a VM that is still marked: somebody else did, and it may have written since. */
async function requireStopped({ client }: Context, node: string, vmId: number): Promise<void> {
  if ((await vmStatus(client, node, vmId)).status === "stopped") return;
  throw new Error(
    `Unable to remove VM ${vmId} on ${node}: it is the half of an emergency restore, but it runs, so somebody started it and ` +
      "it may hold new data. Stop it if nobody needs it, and run pulumi destroy again.",
  );
}

async function endRunning(
  { client, signal }: Context,
  tasks: readonly TaskListItem[],
  { stopTimeoutSeconds }: RemovalLimits,
): Promise<void> {
  for (const task of tasks.filter(({ endtime }) => endtime === undefined)) {
    await stopTask(client, parseUpid(task.upid).node, task.upid, { timeoutMs: stopTimeoutSeconds * 1000, signal });
  }
}

async function configIfThere(
  { client }: Context,
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

/**
 * Destroys the VM and reads back that it is gone. Gives the disks of the VMID that are still there.
 *
 * Disks that no configuration names, as a restore that was killed leaves them, go too, but only if the run saw at its beginning
 * that there were none: all others may be somebody's.
 */
async function destroy(context: Context, node: string, { run, events, limits }: RemovableRun): Promise<string[]> {
  const { client, signal } = context;
  const { vmId } = run;
  const unreferencedDisks = hadNoVolumes(events);
  try {
    if ((await vmStatus(client, node, vmId)).status === "running") {
      await waitForTask(client, await stopVm(client, node, vmId), {
        timeoutMs: limits.stopTimeoutSeconds * 1000,
        signal,
      });
      await requireStillOwn(context, node, run);
    }
    const upid = await destroyVm(client, node, vmId, { unreferencedDisks });
    await waitForTask(client, upid, { timeoutMs: limits.removeTimeoutSeconds * 1000, signal });
  } catch (error) {
    if (!(error instanceof PveNotFound)) throw notRemoved(node, vmId, messageOf(error), error);
  }
  if ((await configIfThere(context, node, vmId)) !== undefined) {
    throw notRemoved(node, vmId, "its destroy task ended well, but the VM is still there");
  }
  return (await volumesOf(client, { node, vmId })).volumes;
}

/** The wait for the stop is long enough for somebody to remove the VM and to make another one under its VMID. */
async function requireStillOwn(context: Context, node: string, run: RunRef): Promise<void> {
  const config = await configIfThere(context, node, run.vmId);
  if (config === undefined || ownershipOf(config, run) === "own") return;
  throw new Error(
    `what stands there now (${config["name"] ?? "without a name"}) is not of run ${run.runId} any more, and was left alone`,
  );
}

function notRemoved(node: string, vmId: number, problem: string, cause?: unknown): Error {
  const text = problem.replace(/\.+$/, "");
  return new Error(`Unable to remove VM ${vmId} on ${node}: ${text}. Remove the cause and run pulumi destroy again.`, {
    cause,
  });
}
