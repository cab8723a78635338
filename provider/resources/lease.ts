/** `homelab:drill:Lease`: opens a run. It makes nothing in Proxmox, and its deletion comes last and clears the VMID. */
import { randomBytes, randomUUID } from "node:crypto";
import { isAbsolute, join } from "node:path";
import { findGuest, isVmIdFree } from "../../pve/cluster/resources";
import { leaseInputsSchema, type LeaseInputs, type LeaseOutputs, type RunRef } from "../contract/run";
import type { ProviderContext, ResourceDefinition } from "../definition";
import { appendEvent, closeAsAborted, closeDeadRuns, newestRunOn, readJournalIfThere } from "../journal";
import { removeRunVm } from "../removal";
import { DRILL_TOKENS } from "../tokens";
import type { PropertyFailure } from "../validation";

export const lease: ResourceDefinition<LeaseInputs, LeaseOutputs> = {
  token: DRILL_TOKENS.lease,
  description: "Opens a run: identity, journal and clock. Refuses to stand twice.",
  inputs: leaseInputsSchema,
  computed: { run: "object", startedAt: "string" },
  replaceOn: "all",
  deleteBeforeReplace: true,
  refusesSecrets: true,

  async check(inputs, standing) {
    return standing === undefined ? problemsWith(inputs) : [await refusal(standing)];
  },

  async create(context, inputs) {
    const startedAt = new Date();
    for (const runId of await closeDeadRuns(inputs.evidenceDir)) {
      context.report("warning", `Run ${runId} had died without a verdict and was closed as aborted.`);
    }
    await requireFree(context, inputs);
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
        pid: process.pid,
      },
      startedAt,
    );
    context.report("info", `Run ${run.runId} restores ${restorePoint.archive}; its journal is in ${run.runDir}.`);
    return { id: run.runId, outputs: { ...inputs, run, startedAt: startedAt.toISOString() } };
  },

  async delete(context, { run }) {
    const events = await readJournalIfThere(run.runDir);
    const { gone, detail } = await removeRunVm(context, run, events);
    context.report("info", `Run ${run.runId}: ${detail}.`);
    if (events.length === 0) return;
    await closeAsAborted(run, "it was destroyed before it had a verdict");
    await appendEvent(run, gone ? { type: "removed", detail } : { type: "finding", text: `destroy: ${detail}` });
  },
};

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

async function requireFree({ client }: ProviderContext, { vmId, node }: LeaseInputs): Promise<void> {
  const guest = await findGuest(client, vmId);
  if (guest === undefined && (await isVmIdFree(client, vmId))) return;
  const who =
    guest === undefined
      ? "a guest that the token can't see"
      : `${guest.type === "lxc" ? "container" : "VM"} "${guest.name ?? ""}" on ${guest.node}`;
  throw new Error(
    `Unable to begin a run with VM ${vmId} on ${node}: the VMID is taken by ${who}. ` +
      "Remove it if it is left over from a drill, or configure another VMID for drills.",
  );
}

function newRun({ evidenceDir, kind, node, vmId, vmName }: LeaseInputs, at: Date): RunRef {
  const time = at.toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const runId = `${time}-${kind}-${randomBytes(3).toString("hex")}`;
  return { runId, runDir: join(evidenceDir, runId), node, vmId, vmName, vmUuid: randomUUID() };
}
