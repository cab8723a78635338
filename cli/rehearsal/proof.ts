/** What a rehearsal adds to the evidence of its drill: whether the data that it wrote itself came back. */
import type { Evidence } from "../../provider/contract/evidence";
import { judge } from "../../provider/evidence";
import { appendEvent, type JournalRef, readJournal, writeEvidence } from "../../provider/journal";

/** Outcome of the look for the row. `skipped`: nobody could look, which is no pass either. */
export interface ProofOutcome {
  readonly status: "passed" | "failed" | "skipped";
  readonly detail: string;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/**
 * Takes a verdict back when the rehearsal's own row is not there: the journal gets the failed check and a new end, and
 * evidence and report are made again, so that they never say `passed` about a rehearsal that failed.
 */
export async function withdrawVerdict(run: JournalRef, outcome: ProofOutcome): Promise<Evidence> {
  await appendEvent(run, {
    type: "check",
    service: "rehearsal",
    name: "data written before the backup",
    kind: "sql",
    status: outcome.status,
    mandatory: true,
    detail: outcome.detail,
    startedAt: outcome.startedAt.toISOString(),
    endedAt: outcome.endedAt.toISOString(),
  });
  const judgement = judge(await readJournal(run.runDir), { services: [], recoveryPoint: false });
  await appendEvent(run, { type: "run-ended", ...judgement });
  return (await writeEvidence(run.runDir)).evidence;
}
