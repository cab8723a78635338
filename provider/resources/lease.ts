/** `homelab:drill:Lease`: opens a run. It makes nothing in Proxmox, and its deletion comes last and clears the VMID. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { nodeTime } from "../../pve/nodes/node";
import { disksNotInArchive } from "../../pve/vm-config";
import { capacityProblems, requireCapacity, UnreadableArchive } from "../capacity";
import { leaseInputsSchema, type LeaseInputs, type LeaseOutputs, type RunRef, runRefSchema } from "../contract/run";
import type { ProviderContext, ResourceDefinition } from "../definition";
import { requireFree } from "../free-vm-id";
import { appendEvent, closeAsAborted, closeDeadRuns, journalFile, newestRunOn, readJournalIfThere } from "../journal";
import { newRunId, recordRefusal } from "../refusal";
import { removeRunVm } from "../removal";
import { messageOf } from "../text";
import { DRILL_TOKENS } from "../tokens";
import { type PropertyFailure, readRecorded } from "../validation";

/** What the deletion needs, whichever version made the state. */
const recordedLease = z.looseObject({
  run: z.looseObject(runRefSchema.shape),
  endpoint: z.string().optional(),
});

export const lease: ResourceDefinition<LeaseInputs, LeaseOutputs> = {
  token: DRILL_TOKENS.lease,
  description: "Opens a run: identity, journal and clock. Refuses to stand twice.",
  inputs: leaseInputsSchema,
  computed: { run: "object", startedAt: "string", startedAtNode: "string", endpoint: "string" },
  replaceOn: "all",
  deleteBeforeReplace: true,
  refusesSecrets: true,

  async check({ client }, inputs, standing) {
    if (standing !== undefined) return [await refusal(standing)];
    const problems = problemsWith(inputs);
    if (problems.length > 0) return problems;
    const capacity = await capacityProblems(client, inputs).catch(unlessUnreadable);
    return capacity.map((reason) => ({
      property: "",
      reason: `has no room for ${inputs.restorePoint.archive}: ${reason}`,
    }));
  },

  async create(context, inputs) {
    const startedAt = new Date();
    const dead = await closeDeadRuns(inputs.evidenceDir);
    for (const runId of dead.closed) {
      context.report("warning", `Run ${runId} had died without a verdict and was closed as aborted.`);
    }
    for (const problem of dead.problems) context.report("warning", problem);
    const found = await lookAround(context, inputs).catch(async (error: unknown) => {
      if (context.signal.aborted) throw error;
      const { reportFile } = await recordRefusal(inputs, messageOf(error), startedAt);
      throw new Error(`${messageOf(error)} The report is ${reportFile}.`, { cause: error });
    });
    for (const doubt of found.doubts) {
      const text = `Disks of VM ${inputs.vmId} may exist unseen, because ${doubt}; destroy will leave all such disks alone.`;
      context.report("warning", text);
    }
    const run = newRun(inputs, startedAt);
    const { kind, stack, node, vmId, vmName, sourceVmId, restorePoint } = inputs;
    const { rtoTargetSeconds, rpoTargetSeconds, environmentNotes } = inputs;
    await appendEvent(
      run,
      {
        type: "run-started",
        ...{ kind, stack, node, vmId, vmName, sourceVmId, restorePoint, rtoTargetSeconds, rpoTargetSeconds },
        environmentNotes,
        vmUuid: run.vmUuid,
        ...{ pid: process.pid, host: hostname() },
        clockOffsetSeconds: found.clockOffsetSeconds,
        hadNoVolumes: found.doubts.length === 0,
      },
      startedAt,
    );
    if (found.notInArchive.length > 0) {
      await appendEvent(run, { type: "finding", text: notInArchiveText(inputs, found.notInArchive) });
    }
    context.report("info", `Run ${run.runId} restores ${restorePoint.archive}; its journal is in ${run.runDir}.`);
    const startedAtNode = new Date(startedAt.getTime() + found.clockOffsetSeconds * 1000).toISOString();
    const { host: endpoint } = context.client;
    return { id: run.runId, outputs: { ...inputs, run, startedAt: startedAt.toISOString(), startedAtNode, endpoint } };
  },

  async delete(context, recorded) {
    const advice = "Remove the drill's VM by hand and forget the run with pulumi state delete --all.";
    const { run, endpoint } = readRecorded(recordedLease, recorded, { action: "end the run", advice });
    const events = await readJournalIfThere(run.runDir);
    const { gone, detail } = await removeRunVm(context, { run, endpoint, events });
    context.report("info", `Run ${run.runId}: ${detail}.`);
    if (events.length === 0) {
      const text = `The journal ${journalFile(run.runDir)} is missing, so this removal stands in no evidence.`;
      context.report("warning", text);
      return;
    }
    await closeAsAborted(run, "it was destroyed before it had a verdict");
    await appendEvent(run, gone ? { type: "removed", detail } : { type: "finding", text: `destroy: ${detail}` });
  },
};

interface Surroundings {
  /** Why disks of the VMID may exist although none was seen. */
  readonly doubts: string[];
  /** Disks that the VM had and the archive does not hold. */
  readonly notInArchive: string[];
  /** The node's clock minus this computer's. */
  readonly clockOffsetSeconds: number;
}

/** Everything that must hold before a run begins. Changes nothing. */
async function lookAround({ client }: ProviderContext, inputs: LeaseInputs): Promise<Surroundings> {
  const [doubts, clockOffsetSeconds, archiveConfig] = await Promise.all([
    requireFree(client, inputs),
    clockOffset({ client }, inputs.node),
    requireCapacity(client, inputs).catch(unlessUnreadable),
  ]);
  return {
    doubts,
    clockOffsetSeconds,
    notInArchive: typeof archiveConfig === "string" ? disksNotInArchive(archiveConfig) : [],
  };
}

function notInArchiveText({ restorePoint, sourceVmId }: LeaseInputs, keys: readonly string[]): string {
  return (
    `The archive ${restorePoint.archive} does not hold ${keys.join(", ")} of VM ${sourceVmId}, as for disks with backup=0: ` +
    "their data has no backup here and is not restored. Set backup=1 on them, or back them up in another way."
  );
}

/** An archive that can't be read is a result of the drill, not a reason to have none: the restore will say so. */
function unlessUnreadable(error: unknown): [] {
  if (error instanceof UnreadableArchive) return [];
  throw error;
}

/** The node tells whole seconds, cut off; within a second the clocks count as equal. */
async function clockOffset({ client }: Pick<ProviderContext, "client">, node: string): Promise<number> {
  const asked = Date.now();
  const time = await nodeTime(client, node);
  const here = (asked + Date.now()) / 2000;
  const offset = Math.round(time + 0.5 - here);
  return Math.abs(offset) <= 1 ? 0 : offset;
}

/** What the schema can't say. */
function problemsWith(inputs: LeaseInputs): PropertyFailure[] {
  const problems: PropertyFailure[] = [];
  if (!isAbsolute(inputs.evidenceDir)) {
    problems.push({ property: "evidenceDir", reason: `must be an absolute path, not "${inputs.evidenceDir}"` });
  }
  if (inputs.kind === "emergency") {
    problems.push({ property: "kind", reason: "emergency restores are not made by this version; use drill" });
  } else if (inputs.vmId === inputs.sourceVmId) {
    problems.push({
      property: "vmId",
      reason: `must differ from the source VM ${inputs.sourceVmId}: a drill never touches production`,
    });
  }
  return problems;
}

/** Why a standing run can't be taken up again. */
async function refusal({ evidenceDir, node, vmId, stack }: LeaseInputs): Promise<PropertyFailure> {
  const run = await newestRunOn(evidenceDir, node, vmId);
  const end = run?.events.find((event) => event.type === "run-ended");
  const name = run === undefined ? `a run on VM ${vmId}` : `run ${run.runId}`;
  const verdict = end === undefined ? "it has no verdict" : `its verdict is ${end.verdict}`;
  return {
    property: "",
    reason:
      `${name} still stands and ${verdict}; a past run is never shown as a new one. ` +
      `Run "pulumi destroy -s ${stack}" first, then "pulumi up -s ${stack}" for a new run`,
  };
}

function newRun({ evidenceDir, kind, node, vmId, vmName }: LeaseInputs, at: Date): RunRef {
  const runId = newRunId(kind, at);
  return { runId, runDir: join(evidenceDir, runId), node, vmId, vmName, vmUuid: randomUUID() };
}
