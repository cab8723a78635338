/** `homelab:drill:Verdict`: closes the journal, writes the evidence, and fails the update unless the run passed. */
import { verdictInputsSchema, type VerdictInputs, type VerdictOutputs } from "../contract/checks";
import type { Evidence } from "../contract/evidence";
import type { RunKind } from "../contract/run";
import { HalfMade, type ResourceDefinition } from "../definition";
import { evidenceFromJournal, judge, targetFindings } from "../evidence";
import { appendEvent, readJournal, writeEvidence } from "../journal";
import { DRILL_TOKENS } from "../tokens";

export const verdict: ResourceDefinition<VerdictInputs, VerdictOutputs> = {
  token: DRILL_TOKENS.verdict,
  description: "The verdict of a run: evidence and report, and a failed update if the run did not pass.",
  inputs: verdictInputsSchema,
  computed: {
    verdict: "string",
    rtoSeconds: "number",
    rpoSeconds: "number",
    evidenceFile: "string",
    reportFile: "string",
  },
  replaceOn: "all",
  refusesSecrets: true,

  async create({ signal, report }, inputs) {
    signal.throwIfAborted();
    await endRun(inputs);
    const { kind, ...conclusion } = await conclude(inputs);
    const { rtoSeconds, rpoSeconds, reportFile } = conclusion.outputs;
    const rpo = rpoSeconds < 0 ? "not measured" : `${rpoSeconds} s`;
    report("info", `The run passed: RTO ${rtoSeconds} s, RPO ${rpo}. The report is ${reportFile}.`);
    if (kind === "emergency") {
      report("info", "pulumi destroy only forgets this restore now: it deletes nothing.");
    }
    return conclusion;
  },

  /** The engine calls this after a failed verdict: a journal has one end, so the verdict is said again. */
  async update(_context, inputs) {
    return (await conclude(inputs)).outputs;
  },
};

/** Judges and ends the journal, unless it has an end already. */
async function endRun({ run, expectedServices, expectRecoveryPoint }: VerdictInputs): Promise<void> {
  const events = await readJournal(run.runDir);
  if (events.some(({ type }) => type === "run-ended")) return;
  const expected = { services: expectedServices, recoveryPoint: expectRecoveryPoint };
  const judgement = judge(events, expected);
  if (!expectRecoveryPoint) await appendEvent(run, { type: "finding", text: NO_CANARY });
  const at = new Date().toISOString();
  const end = { at, runId: run.runId, type: "run-ended" as const, ...judgement };
  for (const text of targetFindings(evidenceFromJournal([...events, end]))) {
    await appendEvent(run, { type: "finding", text });
  }
  await appendEvent(run, { type: "run-ended", ...judgement });
}

const NO_CANARY =
  "The RPO was not measured: no recovery canary was in this run. Add one to the catalogue (a service with a canary), " +
  "and drill with the profile catalogue.";

function whatNext({ kind, target }: Evidence): string {
  return kind === "drill"
    ? "run pulumi destroy to remove the restored VM"
    : `mend what failed in VM ${target.vmId}, which stays, or what kept it from being restored, and run the restore again`;
}

async function conclude(inputs: VerdictInputs): Promise<{ id: string; outputs: VerdictOutputs; kind: RunKind }> {
  const { evidence, evidenceFile, reportFile } = await writeEvidence(inputs.run.runDir);
  const id = `${inputs.run.runId}/verdict`;
  const outputs: VerdictOutputs = {
    ...inputs,
    verdict: evidence.verdict,
    rtoSeconds: evidence.rto.seconds ?? -1,
    rpoSeconds: evidence.rpo.seconds ?? -1,
    evidenceFile,
    reportFile,
  };
  if (evidence.verdict === "passed") return { id, outputs, kind: evidence.kind };
  const reasons = evidence.reasons.map((reason) => `\n  - ${reason}`).join("");
  throw new HalfMade(
    `Unable to pass run ${evidence.runId}: its verdict is ${evidence.verdict}.${reasons}\n` +
      `The report is ${reportFile}. Read it, then ${whatNext(evidence)}.`,
    id,
    outputs,
  );
}
