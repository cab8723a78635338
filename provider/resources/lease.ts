/** `homelab:drill:Lease`: opens a run. It makes nothing in Proxmox, and its deletion comes last and clears the VMID. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import type { PveClient } from "../../pve/client";
import { nodeTime } from "../../pve/nodes/node";
import { archiveFindings } from "../archive-findings";
import { capacityProblems, requireCapacity, UnreadableArchive } from "../capacity";
import {
  leaseInputsSchema,
  type LeaseInputs,
  type LeaseOutputs,
  removalLimitsSchema,
  runKindSchema,
  type RunRef,
  runRefSchema,
} from "../contract/run";
import type { ProviderContext, ResourceDefinition } from "../definition";
import { requireFree } from "../free-vm-id";
import { lookForEmergency } from "../emergency";
import { appendEvent, closeAsAborted, closeDeadRuns, journalFile, newestRunOn, readJournalIfThere } from "../journal";
import { newRunId, recordRefusal } from "../refusal";
import { removeRunVm } from "../removal";
import { messageOf } from "../text";
import { DRILL_TOKENS } from "../tokens";
import { type PropertyFailure, readRecorded } from "../validation";

/** A forgotten consent must not meet the next emergency. */
const LONGEST_CONSENT_MS = 7 * 86_400_000;

/** What the deletion needs, whichever version made the state. */
const recordedLease = z.looseObject({
  kind: runKindSchema.default("drill"),
  run: z.looseObject(runRefSchema.shape),
  endpoint: z.string().optional(),
  removalLimits: removalLimitsSchema.prefault({}),
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
    const capacity = await roomFor(client, inputs);
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
    const run = newRun(inputs, found.identity, startedAt);
    const { kind, stack, node, vmId, sourceVmId, restorePoint } = inputs;
    const { rtoTargetSeconds, rpoTargetSeconds, outageAt, environmentNotes } = inputs;
    const { vmName, vmUuid, resumes } = run;
    const recoveryStartedAt = recoveryStart(found);
    await appendEvent(
      run,
      {
        type: "run-started",
        ...{ kind, stack, node, vmId, vmName, sourceVmId, restorePoint, rtoTargetSeconds, rpoTargetSeconds },
        ...(outageAt === undefined ? {} : { outageAt }),
        ...(resumes === undefined ? {} : { resumes }),
        ...(recoveryStartedAt === undefined ? {} : { recoveryStartedAt }),
        environmentNotes,
        vmUuid,
        ...{ pid: process.pid, host: hostname() },
        clockOffsetSeconds: found.clockOffsetSeconds,
      },
      startedAt,
    );
    const findings = [...found.findings];
    if (recoveryStartedAt !== undefined) {
      findings.push(`RTO counts from ${recoveryStartedAt}, the start of run ${resumes ?? ""}, which restored the VM.`);
    }
    for (const text of findings) {
      context.report("warning", text);
      await appendEvent(run, { type: "finding", text });
    }
    const what =
      resumes === undefined ? `restores ${restorePoint.archive}` : `goes on with what run ${resumes} restored`;
    const expiry =
      run.expiresAt === undefined ? "" : ` From ${run.expiresAt} on a sweep, and so the next drill, removes its VM.`;
    context.report("info", `Run ${run.runId} ${what}; its journal is in ${run.runDir}.${expiry}`);
    const startedAtNode = new Date(startedAt.getTime() + found.clockOffsetSeconds * 1000).toISOString();
    const { host: endpoint } = context.client;
    return { id: run.runId, outputs: { ...inputs, run, startedAt: startedAt.toISOString(), startedAtNode, endpoint } };
  },

  async delete(context, recorded) {
    const advice =
      "Remove a drill's VM by hand, never production's, and forget the run with pulumi state delete --all.";
    const lease = readRecorded(recordedLease, recorded, { action: "end the run", advice });
    const { kind, run, endpoint, removalLimits: limits } = lease;
    const events = await readJournalIfThere(run.runDir);
    const { gone, detail } = await removeRunVm(context, { kind, run, endpoint, events, limits });
    context.report("info", `Run ${run.runId}: ${detail}.`);
    if (events.length === 0) {
      const text = `The journal ${journalFile(run.runDir)} is missing, so this removal stands in no evidence.`;
      context.report("warning", text);
      return;
    }
    await closeAsAborted(run, "it was destroyed before it had a verdict");
    if (gone) await appendEvent(run, { type: "removed", detail });
    // That a restored production stays is the end of every emergency and nothing to find.
    else if (kind === "drill") await appendEvent(run, { type: "finding", text: `destroy: ${detail}` });
  },
};

/** Who the VM is: drawn for a drill, the archive's own in an emergency. */
type Identity = Pick<RunRef, "vmName" | "vmUuid" | "resumes" | "replaces">;

interface Surroundings {
  readonly identity: Identity;
  /** For the evidence, one text each. */
  readonly findings: string[];
  readonly recoveryStartedAtNode?: number;
  /** The node's clock minus this computer's. */
  readonly clockOffsetSeconds: number;
}

/** Start of the recovery that a run goes on with, by this computer's clock: the run before may have been another computer's. */
function recoveryStart({ recoveryStartedAtNode, clockOffsetSeconds }: Surroundings): string | undefined {
  if (recoveryStartedAtNode === undefined) return undefined;
  return new Date(recoveryStartedAtNode - clockOffsetSeconds * 1000).toISOString();
}

/** Everything that must hold before a run begins. Changes nothing. */
async function lookAround(context: ProviderContext, inputs: LeaseInputs): Promise<Surroundings> {
  const { client } = context;
  if (inputs.kind === "emergency") {
    const [found, clockOffsetSeconds] = await Promise.all([
      lookForEmergency(context, inputs),
      clockOffset({ client }, inputs.node),
    ]);
    return { ...found, clockOffsetSeconds };
  }
  const [clockOffsetSeconds, archiveConfig] = await Promise.all([
    clockOffset({ client }, inputs.node),
    requireCapacity(client, inputs).catch(unlessUnreadable),
    requireFree(client, inputs),
  ]);
  const identity = { vmName: inputs.vmName, vmUuid: randomUUID() };
  const findings = typeof archiveConfig === "string" ? archiveFindings(inputs, archiveConfig) : [];
  return { identity, findings, clockOffsetSeconds };
}

/** In an emergency the restore refuses by itself, with evidence: what stands may be taken up without any room. */
async function roomFor(client: PveClient, inputs: LeaseInputs): Promise<string[]> {
  return inputs.kind === "emergency" ? [] : capacityProblems(client, inputs).catch(unlessUnreadable);
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
  const problem = (property: string, reason: string): void => void problems.push({ property, reason });
  const isDrill = inputs.kind === "drill";
  if (isDrill && inputs.vmId === inputs.sourceVmId) {
    problem("vmId", `must differ from the source VM ${inputs.sourceVmId}: a drill never touches production`);
  }
  if (isDrill && inputs.storage === undefined) problem("storage", "a drill needs a storage of its own choice");
  if (!isDrill && inputs.vmId !== inputs.sourceVmId) {
    problem("vmId", `must be the source VM ${inputs.sourceVmId}: an emergency brings back the VM itself`);
  }
  if (!isDrill && inputs.expiresAfterHours !== undefined) {
    problem("expiresAfterHours", "an emergency brings back production, which never expires");
  }
  if (isDrill && inputs.replace !== undefined) problem("replace", "a drill never replaces a VM");
  if (inputs.replace !== undefined && Date.parse(inputs.replace.until) > Date.now() + LONGEST_CONSENT_MS) {
    problem(
      "replace.until",
      `${inputs.replace.until} is more than 7 days ahead. Name a time that is soon: a consent is for one emergency`,
    );
  }
  const { outageAt, restorePoint } = inputs;
  if (outageAt !== undefined && Date.parse(outageAt) < restorePoint.archiveTime * 1000) {
    const made = new Date(restorePoint.archiveTime * 1000).toISOString();
    problem(
      "outageAt",
      `the archive ${restorePoint.archive} was made at ${made}, after the outage began (${outageAt}), so it may hold the ` +
        `damage. Restore an older one with restorePoint {choose: before, time: "${outageAt}"}, or correct the time`,
    );
  }
  if (outageAt !== undefined && Date.parse(outageAt) > Date.now() + 60_000) {
    problem("outageAt", `${outageAt} is in the future`);
  }
  return problems;
}

/** Why a standing run can't be taken up again. */
async function refusal({ kind, evidenceDir, node, vmId, stack }: LeaseInputs): Promise<PropertyFailure> {
  const run = await newestRunOn(evidenceDir, node, vmId);
  const end = run?.events.find((event) => event.type === "run-ended");
  const name = run === undefined ? `a run on VM ${vmId}` : `run ${run.runId}`;
  const verdict = end === undefined ? "it has no verdict" : `its verdict is ${end.verdict}`;
  return {
    property: "",
    reason:
      `${name} still stands and ${verdict}; a past run is never shown as a new one. ` +
      `Run "pulumi destroy -s ${stack}" first${kind === "drill" ? "" : " (a VM that was restored whole stays)"}, ` +
      `then "pulumi up -s ${stack}" for a new run`,
  };
}

function newRun(
  { evidenceDir, kind, node, vmId, expiresAfterHours }: LeaseInputs,
  identity: Identity,
  at: Date,
): RunRef {
  const runId = newRunId(kind, at);
  const run = { runId, runDir: join(evidenceDir, runId), node, vmId, ...identity };
  if (expiresAfterHours === undefined) return run;
  return { ...run, expiresAt: new Date(at.getTime() + expiresAfterHours * 3_600_000).toISOString() };
}
