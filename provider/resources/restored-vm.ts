/** `homelab:drill:RestoredVm`: a VM from an archive, under the run's identity, isolated and not started. */
import { z } from "zod";
import { PveConnectionError, PveNotFound } from "../../pve/errors";
import { createVm, restoreVm, vmConfig } from "../../pve/nodes/qemu";
import { extractConfig } from "../../pve/nodes/vzdump";
import { waitForTask } from "../../pve/nodes/tasks";
import { parseVmConfig } from "../../pve/vm-config";
import type { PhaseName } from "../contract/evidence";
import {
  restoredVmInputsSchema,
  type RestoredVmInputs,
  type RestoredVmOutputs,
  type StepStatus,
} from "../contract/restore";
import { removalLimitsSchema, runKindSchema, type RunRef, runRefSchema } from "../contract/run";
import { disksOf } from "../aside-vm";
import { requireCapacity } from "../capacity";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { foundDisks, volumesOf } from "../free-vm-id";
import { appendEvent, readJournalIfThere } from "../journal";
import { ownershipOf } from "../ownership";
import { removeRunVm } from "../removal";
import { emptyVmParameters, restoredParts } from "../restore-parameters";
import { type RestoreWay, wayOf } from "../restore-way";
import { messageOf } from "../text";
import { DRILL_TOKENS } from "../tokens";
import { readRecorded } from "../validation";

/** What the deletion needs, whichever version made the state. */
const recordedVm = z.looseObject({
  kind: runKindSchema.default("drill"),
  run: z.looseObject(runRefSchema.shape),
  created: z.boolean(),
  endpoint: z.string().optional(),
  removalLimits: removalLimitsSchema.prefault({}),
});

/** A VM's configuration. */
type Config = Readonly<Record<string, string>>;
type Progress = Omit<RestoredVmOutputs, keyof RestoredVmInputs>;

export const restoredVm: ResourceDefinition<RestoredVmInputs, RestoredVmOutputs> = {
  token: DRILL_TOKENS.restoredVm,
  description:
    "A VM restored from an archive: in a drill under another identity and isolated, in an emergency as it was.",
  inputs: restoredVmInputsSchema,
  computed: {
    status: "string",
    reason: "string",
    upid: "string",
    created: "boolean",
    endpoint: "string",
    networks: "array",
    volumes: "array",
    restoreSeconds: "number",
  },
  replaceOn: "all",
  deleteBeforeReplace: true,
  refusesSecrets: true,

  async check(_context, { kind, isolatedBridge, storage }) {
    const isDrill = kind === "drill";
    if (isDrill === (isolatedBridge !== undefined) && (!isDrill || storage !== undefined)) return [];
    const reason = isDrill
      ? "a drill needs isolatedBridge and storage"
      : "an emergency restore keeps the VM's own cards, so isolatedBridge has no meaning";
    return [{ property: "isolatedBridge", reason }];
  },

  async create(context, inputs) {
    const id = `${inputs.run.node}/${inputs.run.vmId}`;
    const progress = nothingYet();
    const failedPhase = await tryRestore(context, inputs, progress);
    if (context.signal.aborted) {
      throw new HalfMade(`Unable to restore VM ${inputs.run.vmId}: the update was cancelled. Run pulumi destroy.`, id, {
        ...inputs,
        ...progress,
      });
    }
    if (failedPhase === "restore") await endPhase(inputs, "restore", "failed", progress.reason);
    if (failedPhase !== undefined) {
      const verify: StepStatus = failedPhase === "verify" ? "failed" : "skipped";
      await endPhase(inputs, "verify", verify, verify === "failed" ? progress.reason : "the restore failed");
    }
    return { id, outputs: { ...inputs, ...progress } };
  },

  async read({ client }, outputs) {
    if (!outputs.created) return outputs;
    try {
      await vmConfig(client, outputs.run.node, outputs.run.vmId);
      return outputs;
    } catch (error) {
      if (error instanceof PveNotFound) return undefined;
      throw error;
    }
  },

  async delete(context, recorded) {
    const advice =
      "Remove a drill's VM by hand, never production's, and forget the run with pulumi state delete --all.";
    const read = readRecorded(recordedVm, recorded, { action: "remove the restored VM", advice });
    const { kind, run, created, endpoint, removalLimits: limits } = read;
    if (!created) return; // the lease, deleted last, looks at the VMID in any case
    const events = await readJournalIfThere(run.runDir);
    const { gone, detail } = await removeRunVm(context, { kind, run, endpoint, events, limits });
    context.report("info", `${detail}.`);
    if (gone && events.length > 0) await appendEvent(run, { type: "removed", detail });
  },
};

function nothingYet(): Progress {
  return {
    ...{ status: "failed", reason: "", upid: "", created: false, endpoint: "" },
    ...{ networks: [], volumes: [], restoreSeconds: 0 },
  };
}

/** Restores and verifies; fills `progress` on the way. Gives the phase that failed. */
async function tryRestore(
  context: ProviderContext,
  inputs: RestoredVmInputs,
  progress: Progress,
): Promise<Extract<PhaseName, "restore" | "verify"> | undefined> {
  let phase: "restore" | "verify" = "restore";
  const way = wayOf(inputs);
  try {
    const archiveConfig = await restore(context, inputs, way, progress);
    await endPhase(inputs, "restore", "passed", restoreDetail(inputs, progress));
    phase = "verify";
    await verify(context, inputs, { way, archiveConfig, progress });
    await way.handOver(context, inputs, archiveConfig);
    await endPhase(inputs, "verify", "passed", printNetworks(progress));
    progress.status = "passed";
    return undefined;
  } catch (error) {
    progress.reason = messageOf(error);
    context.report("warning", progress.reason);
    return phase;
  }
}

/** Gives the configuration inside the archive. */
async function restore(
  context: ProviderContext,
  inputs: RestoredVmInputs,
  way: RestoreWay,
  progress: Progress,
): Promise<Config> {
  const { client, signal, report } = context;
  const { run, restorePoint } = inputs;
  const { node, vmId } = run;
  progress.endpoint = client.host;
  if (run.resumes !== undefined) {
    progress.created = true;
    const archiveConfig = parseVmConfig(await extractConfig(client, node, restorePoint.archive));
    await way.makePlace(context, inputs, archiveConfig);
    return archiveConfig;
  }
  await way.requirePlace(client, inputs);
  // Once more, because time may have gone by since the lease: a restore must not be what fills the pool.
  const needs = { kind: inputs.kind, node, storage: inputs.storage, memoryMiB: inputs.memoryMiB, restorePoint };
  const archiveConfig = parseVmConfig(await requireCapacity(client, needs));
  for (const text of way.findings(inputs, archiveConfig)) await appendEvent(run, { type: "finding", text });
  await way.makePlace(context, inputs, archiveConfig);
  await appendEvent(run, {
    ...{ type: "restore-requested", vmId, archive: restorePoint.archive },
    tokenId: client.tokenId,
  });
  const begun = performance.now();
  const parameters = way.parameters(inputs, archiveConfig);
  const empty = emptyVmParameters(parameters, archiveConfig);
  const making = await accepted(run, createVm(client, node, empty));
  progress.created = true;
  await lookAtEmpty(context, inputs, making);
  progress.upid = await accepted(run, restoreVm(client, node, parameters));
  await appendEvent(run, { type: "restore-accepted", upid: progress.upid });
  try {
    await waitForTask(client, progress.upid, {
      timeoutMs: inputs.restoreTimeoutSeconds * 1000,
      signal,
      onLog: (line) => report("progress", line),
    });
  } finally {
    progress.restoreSeconds = Math.round(performance.now() - begun) / 1000;
  }
  return archiveConfig;
}

/** The task that a call has begun. That Proxmox refused it goes into the journal. */
async function accepted(run: RunRef, call: Promise<string>): Promise<string> {
  try {
    return await call;
  } catch (error) {
    // Only an answer that was lost leaves it open whether Proxmox began.
    if (!(error instanceof PveConnectionError)) {
      await appendEvent(run, { type: "restore-refused", reason: messageOf(error) });
    }
    throw error;
  }
}

/**
 * Waits for the run's empty VM, and looks whether disks of its VMID are about: the token may see them from now on.
 *
 * @throws Error when there are any, in a drill; when the VM is not the run's any more, or has disks, which `force` would delete.
 */
async function lookAtEmpty(
  { client, signal, report }: ProviderContext,
  { kind, run, restoreTimeoutSeconds }: RestoredVmInputs,
  upid: string,
): Promise<void> {
  const { node, vmId } = run;
  await waitForTask(client, upid, { timeoutMs: restoreTimeoutSeconds * 1000, signal });
  const { volumes, doubts } = await volumesOf(client, { node, vmId });
  await appendEvent(run, { type: "vm-made", hadNoVolumes: volumes.length + doubts.length === 0 });
  for (const doubt of doubts) {
    report(
      "warning",
      `Disks of VM ${vmId} may exist unseen, because ${doubt}; destroy will leave all such disks alone.`,
    );
  }
  if (volumes.length > 0) {
    if (kind === "drill") throw foundDisks({ node, vmId }, volumes);
    const text =
      `Disks of VM ${vmId} without a VM were there before and were left alone: ${volumes.join(", ")}. ` +
      "They may hold newer data than the backup.";
    await appendEvent(run, { type: "finding", text });
  }
  const config = await vmConfig(client, node, vmId);
  if (ownershipOf(config, run) !== "own") {
    throw new Error(
      `Unable to restore VM ${vmId} on ${node}: somebody changed the empty VM that was made for it. ` +
        "Look who, and run pulumi destroy.",
    );
  }
  const disks = disksOf(config).map(({ disk, volume }) => `${disk} ${volume}`);
  if (disks.length === 0) return;
  const reason =
    `Unable to restore VM ${vmId} on ${node}: somebody gave ${disks.join(", ")} to the empty VM that was made for it, and the restore ` +
    `would delete that. Take these lines out of /etc/pve/qemu-server/${vmId}.conf on the node, and run pulumi destroy.`;
  await appendEvent(run, { type: "restore-refused", reason });
  throw new Error(reason);
}

function restoreDetail({ run }: RestoredVmInputs, { upid }: Progress): string {
  return run.resumes === undefined ? `task ${upid}` : `restored by run ${run.resumes}`;
}

/** Reads the configuration back before anything is started. A VM that is taken up was verified by the run that restored it. */
async function verify(
  { client }: ProviderContext,
  inputs: RestoredVmInputs,
  { way, archiveConfig, progress }: { way: RestoreWay; archiveConfig: Config; progress: Progress },
): Promise<void> {
  const config = await vmConfig(client, inputs.run.node, inputs.run.vmId);
  Object.assign(progress, restoredParts(config));
  if (inputs.run.resumes !== undefined) return;
  const problems = await way.deviations(client, inputs, { archiveConfig, config });
  if (problems.length > 0) {
    throw new Error(
      `Unable to start VM ${inputs.run.vmId} safely: after the restore ${problems.join("; ")}. It was not started.`,
    );
  }
  for (const text of way.findingsAfter(config)) await appendEvent(inputs.run, { type: "finding", text });
}

function printNetworks({ networks, volumes }: Progress): string {
  const cards = networks.map(({ key, bridge }) => `${key} on ${bridge}`);
  return [...cards, ...volumes].join(", ");
}

async function endPhase(
  { run }: RestoredVmInputs,
  phase: "restore" | "verify",
  status: StepStatus,
  detail: string,
): Promise<void> {
  await appendEvent(run, { type: "phase-ended", phase, status, detail });
}
