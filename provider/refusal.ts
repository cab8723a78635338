/** Evidence of a run that did not begin: a scheduled drill that could not start is a drill that did not pass. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { PlannedRun, RestorePoint, RunKind } from "./contract/run";
import { appendEvent, type EvidenceFiles, writeEvidence } from "./journal";

/** Id of a run, also the name of its folder; ids of a kind sort by time, within a second by its milliseconds. */
export function newRunId(kind: RunKind, at: Date): string {
  const milliseconds = at.getUTCMilliseconds().toString(16).padStart(3, "0");
  const random = randomBytes(2).toString("hex").slice(0, 3);
  return `${at.toISOString().replaceAll(/[-:]|\.\d+/g, "")}-${kind}-${milliseconds}${random}`;
}

/** What is known of a run that was refused. */
export interface RefusedRun extends PlannedRun {
  /** Null when none was found. */
  readonly restorePoint: RestorePoint | null;
}

/** Writes journal, evidence and report of a refused run. `reason` is an error's whole message. */
export async function recordRefusal(run: RefusedRun, reason: string, at = new Date()): Promise<EvidenceFiles> {
  const { kind, stack, node, vmId, vmName, sourceVmId, restorePoint } = run;
  const { rtoTargetSeconds, rpoTargetSeconds, environmentNotes, evidenceDir } = run;
  const runId = newRunId(kind, at);
  const runDir = join(evidenceDir, runId);
  await appendEvent(
    { runId, runDir },
    {
      type: "run-refused",
      ...{ kind, stack, node, vmId, vmName, sourceVmId, restorePoint, rtoTargetSeconds, rpoTargetSeconds },
      environmentNotes,
      reason,
    },
    at,
  );
  return writeEvidence(runDir);
}
