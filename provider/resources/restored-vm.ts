/** `homelab:drill:RestoredVm`: a VM from an archive, under the run's identity, isolated and not started. */
import { z } from "zod";
import { PveConnectionError, PveNotFound } from "../../pve/errors";
import { restoreVm, vmConfig } from "../../pve/nodes/qemu";
import { waitForTask } from "../../pve/nodes/tasks";
import { parseVmConfig } from "../../pve/vm-config";
import type { PhaseName } from "../contract/evidence";
import {
  restoredVmInputsSchema,
  type RestoredVmInputs,
  type RestoredVmOutputs,
  type StepStatus,
} from "../contract/restore";
import { runRefSchema } from "../contract/run";
import { requireCapacity } from "../capacity";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { requireIsolation } from "../isolated-bridge";
import { appendEvent, readJournalIfThere } from "../journal";
import { removeRunVm } from "../removal";
import {
  deviations,
  hasCloudInit,
  obstaclesTo,
  reductions,
  restoredParts,
  restoreParameters,
} from "../restore-parameters";
import { messageOf } from "../text";
import { DRILL_TOKENS } from "../tokens";
import { readRecorded } from "../validation";

/** What the deletion needs, whichever version made the state. */
const recordedVm = z.looseObject({
  run: z.looseObject(runRefSchema.shape),
  created: z.boolean(),
  endpoint: z.string().optional(),
});

type Progress = Omit<RestoredVmOutputs, keyof RestoredVmInputs>;

export const restoredVm: ResourceDefinition<RestoredVmInputs, RestoredVmOutputs> = {
  token: DRILL_TOKENS.restoredVm,
  description: "A VM restored from an archive under the run's identity, with every network on the isolated bridge.",
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
    const advice = "Remove the drill's VM by hand and forget the run with pulumi state delete --all.";
    const { run, created, endpoint } = readRecorded(recordedVm, recorded, { action: "remove the restored VM", advice });
    if (!created) return; // the lease, deleted last, looks at the VMID in any case
    const events = await readJournalIfThere(run.runDir);
    const { gone, detail } = await removeRunVm(context, { run, endpoint, events });
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
  try {
    await restore(context, inputs, progress);
    await endPhase(inputs, "restore", "passed", `task ${progress.upid}`);
    phase = "verify";
    await verify(context, inputs, progress);
    await endPhase(inputs, "verify", "passed", printNetworks(progress));
    progress.status = "passed";
    return undefined;
  } catch (error) {
    progress.reason = messageOf(error);
    context.report("warning", progress.reason);
    return phase;
  }
}

async function restore(
  { client, signal, report }: ProviderContext,
  inputs: RestoredVmInputs,
  progress: Progress,
): Promise<void> {
  const { run, restorePoint, isolatedBridge } = inputs;
  const { node, vmId } = run;
  await requireIsolation(client, { node, name: isolatedBridge, ownVmId: vmId });
  // Once more, because time may have gone by since the lease: a restore must not be what fills the pool.
  const needs = { node, storage: inputs.storage, memoryMiB: inputs.memoryMiB, restorePoint };
  const archiveConfig = parseVmConfig(await requireCapacity(client, needs));
  const obstacles = obstaclesTo(archiveConfig);
  if (obstacles.length > 0) {
    throw new Error(
      `Unable to restore ${restorePoint.archive} beside its source: it is tied to the node by ${obstacles.join("; ")}. ` +
        "Remove these from the source VM and make a new backup.",
    );
  }
  for (const text of reductions(inputs, archiveConfig)) await appendEvent(run, { type: "finding", text });
  await appendEvent(run, {
    ...{ type: "restore-requested", vmId, archive: restorePoint.archive },
    tokenId: client.tokenId,
  });
  const begun = performance.now();
  try {
    progress.upid = await restoreVm(client, node, restoreParameters(inputs, archiveConfig));
  } catch (error) {
    // Only an answer that was lost leaves it open whether Proxmox began.
    if (!(error instanceof PveConnectionError)) {
      await appendEvent(run, { type: "restore-refused", reason: messageOf(error) });
    }
    throw error;
  }
  progress.created = true;
  progress.endpoint = client.host;
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
}

/** Reads the configuration back before anything is started. */
async function verify({ client }: ProviderContext, inputs: RestoredVmInputs, progress: Progress): Promise<void> {
  const config = await vmConfig(client, inputs.run.node, inputs.run.vmId);
  Object.assign(progress, restoredParts(config));
  const problems = deviations(inputs, config);
  if (problems.length > 0) {
    throw new Error(
      `Unable to start VM ${inputs.run.vmId} safely: after the restore ${problems.join("; ")}. It was not started.`,
    );
  }
  if (hasCloudInit(config)) {
    const text =
      "The restored guest has another name and other MAC addresses, so its cloud-init runs its first-boot modules again " +
      "(users, host keys). An emergency restore under the original identity does not.";
    await appendEvent(inputs.run, { type: "finding", text });
  }
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
