/** Evidence from a run's journal: pure, so that what a verdict says can be recomputed from the journal at any time. */
import type { Evidence, JournalEvent, VerdictValue } from "./contract/evidence";

type EventOf<T extends JournalEvent["type"]> = Extract<JournalEvent, { type: T }>;

/** What the verdict resource expects to find in the journal. */
export interface Expectations {
  /** Services of which at least one check must stand in the journal. */
  services: readonly string[];
  recoveryPoint: boolean;
}

/** Verdict and its reasons. */
export interface Judgement {
  verdict: VerdictValue;
  /** Empty only for `passed`. */
  reasons: string[];
}

function eventsOf<T extends JournalEvent["type"]>(events: readonly JournalEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is EventOf<T> => event.type === type);
}

/** Phases that every run has before its checks. Journals of older versions have no isolation. */
const ALWAYS = ["restore", "verify", "start", "agent"] as const;

/** Milliseconds between two ISO times as seconds, to the millisecond. */
function secondsBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / 1000;
}

/**
 * Judges a run: `passed` only if every phase passed, nothing failed, nothing mandatory was skipped and everything that
 * was expected stands in the journal.
 */
export function judge(events: readonly JournalEvent[], expected: Expectations): Judgement {
  const reasons: string[] = [];
  for (const phase of eventsOf(events, "phase-ended")) {
    if (phase.status !== "passed") reasons.push(`phase ${phase.phase} ${phase.status}: ${phase.detail}`);
  }
  const isDrill = eventsOf(events, "run-started").some(({ kind }) => kind === "drill");
  for (const phase of [...ALWAYS, ...(isDrill ? (["isolation"] as const) : [])]) {
    if (!eventsOf(events, "phase-ended").some((event) => event.phase === phase))
      reasons.push(`phase ${phase} never ended`);
  }
  const checks = eventsOf(events, "check");
  // Services that are excused prove nothing: an old archive could excuse all of them.
  if (!checks.some(({ mandatory }) => mandatory)) reasons.push("nothing was checked");
  for (const check of checks) {
    if (check.status === "failed") reasons.push(`${check.service}: ${check.name} failed: ${check.detail}`);
    if (check.status === "skipped" && check.mandatory)
      reasons.push(`${check.service}: ${check.name} could not run: ${check.detail}`);
  }
  for (const service of expected.services) {
    if (!checks.some((check) => check.service === service)) reasons.push(`${service}: was not checked`);
  }
  const recovery = eventsOf(events, "recovery-point").at(-1);
  if (recovery !== undefined && recovery.status !== "passed")
    reasons.push(`recovery point ${recovery.status}: ${recovery.detail}`);
  if (recovery !== undefined && isInFuture(recovery)) reasons.push(`recovery point: ${futureText(recovery)}`);
  if (expected.recoveryPoint && recovery === undefined) reasons.push("recovery point: was not measured");
  return { verdict: reasons.length === 0 ? "passed" : "failed", reasons };
}

/** A row that is newer than the start of the drill can't be: some clock is wrong, and there is no RPO. */
function isInFuture({ rpoSeconds }: EventOf<"recovery-point">): boolean {
  return rpoSeconds !== null && rpoSeconds < 0;
}

function futureText({ recoveryPoint, rpoSeconds }: EventOf<"recovery-point">): string {
  return (
    `its newest row (${recoveryPoint ?? "unknown"}) is ${(-(rpoSeconds ?? 0)).toFixed(1)} s later than the start of the ` +
    "drill by the node's clock, so the clock of the VM or of the node is wrong and no RPO was measured"
  );
}

/** From when on the recovery counts; undefined: the run goes on with one whose start is not known. */
function recoveryStart({ at, resumes, recoveryStartedAt }: EventOf<"run-started">): string | undefined {
  return recoveryStartedAt ?? (resumes === undefined ? at : undefined);
}

/**
 * RTO in seconds: from the start of the recovery to the last check passed. Null when a phase or check did not pass, because an
 * objective that was not reached has no time.
 */
function recoveryTime(events: readonly JournalEvent[], started: EventOf<"run-started">): number | null {
  const results = [...eventsOf(events, "check"), ...eventsOf(events, "recovery-point")];
  const phases = eventsOf(events, "phase-ended");
  const complete =
    ALWAYS.every((name) => phases.some(({ phase }) => phase === name)) &&
    phases.every(({ status }) => status === "passed");
  const failed = eventsOf(events, "check").some(
    (check) => check.status === "failed" || (check.status === "skipped" && check.mandatory),
  );
  const badRecovery = eventsOf(events, "recovery-point").some((event) => event.status !== "passed");
  const last = results
    .map((event) => ("endedAt" in event ? event.endedAt : event.at))
    .sort()
    .at(-1);
  const start = recoveryStart(started);
  if (!complete || failed || badRecovery || last === undefined || start === undefined) return null;
  return secondsBetween(start, last);
}

/** Phases in their order; each lasts from the end of the one before. `checks` ends with the last result. */
function phaseDurations(events: readonly JournalEvent[], started: EventOf<"run-started">): Evidence["phases"] {
  let from = recoveryStart(started) ?? started.at;
  const phases: Evidence["phases"] = [];
  for (const event of eventsOf(events, "phase-ended").filter(({ phase }) => phase !== "checks")) {
    phases.push({
      phase: event.phase,
      status: event.status,
      seconds: secondsBetween(from, event.at),
      detail: event.detail,
    });
    from = event.at;
  }
  const checks = eventsOf(events, "check");
  const recoveries = eventsOf(events, "recovery-point");
  const last = [...checks.map((check) => check.endedAt), ...recoveries.map((event) => event.at)].sort().at(-1);
  if (last === undefined) return phases;
  const statuses = [...checks.filter((check) => check.mandatory), ...recoveries].map((event) => event.status);
  const passed = statuses.filter((status) => status === "passed").length;
  phases.push({
    phase: "checks",
    status: statuses.includes("failed") ? "failed" : statuses.includes("skipped") ? "skipped" : "passed",
    seconds: secondsBetween(from, last),
    detail: `${passed} of ${statuses.length} passed`,
  });
  return phases;
}

/**
 * Makes the evidence of a run from its journal.
 *
 * @throws Error when the journal has no `run-started`, that is, when there is no run to speak of.
 */
export function evidenceFromJournal(events: readonly JournalEvent[]): Evidence {
  const refused = eventsOf(events, "run-refused")[0];
  if (refused !== undefined) return refusalEvidence(refused);
  const started = eventsOf(events, "run-started")[0];
  if (started === undefined) {
    throw new Error(
      "Unable to make evidence from the journal: it has no run-started event. Delete the folder; nothing ran.",
    );
  }
  // The last one counts: a rehearsal may take a verdict back.
  const ended = eventsOf(events, "run-ended").at(-1);
  const recovery = eventsOf(events, "recovery-point").at(-1);
  const rto = ended?.verdict === "aborted" ? null : recoveryTime(events, started);
  const rpo = recovery === undefined || isInFuture(recovery) ? null : recovery.rpoSeconds;
  return {
    ...identityOf(started, started.clockOffsetSeconds),
    verdict: ended?.verdict ?? "aborted",
    reasons: ended?.reasons ?? ["the run did not end"],
    endedAt: ended?.at ?? events.at(-1)?.at ?? started.at,
    rto: {
      seconds: rto,
      targetSeconds: started.rtoTargetSeconds,
      met: rto === null ? null : rto <= started.rtoTargetSeconds,
    },
    rpo: {
      seconds: rpo,
      targetSeconds: started.rpoTargetSeconds,
      met: rpo === null ? null : rpo <= started.rpoTargetSeconds,
      recoveryPoint: recovery?.recoveryPoint ?? null,
    },
    outage: outageOf(started, rto),
    aside: asideOf(events),
    phases: phaseDurations(events, started),
    isolation: eventsOf(events, "isolation").at(-1)?.probes ?? [],
    checks: eventsOf(events, "check").map(
      ({ service, name, kind, status, mandatory, detail, startedAt, endedAt }): Evidence["checks"][number] => ({
        service,
        name,
        kind,
        status,
        mandatory,
        detail,
        startedAt,
        endedAt,
      }),
    ),
    findings: eventsOf(events, "finding").map((event) => event.text),
  };
}

/** From the stated beginning of the outage to the last check passed, the former by the node's clock. */
function outageOf(started: EventOf<"run-started">, rto: number | null): Evidence["outage"] {
  const { outageAt, clockOffsetSeconds = 0 } = started;
  if (outageAt === undefined) return null;
  const before = secondsBetween(outageAt, recoveryStart(started) ?? started.at) + clockOffsetSeconds;
  return { at: outageAt, seconds: rto === null ? null : before + rto };
}

function asideOf(events: readonly JournalEvent[]): Evidence["aside"] {
  const replacing = eventsOf(events, "replacing").at(-1);
  if (replacing === undefined) return null;
  const { asideVmId: vmId, asideName: name, began } = replacing;
  const disks = eventsOf(events, "disk-set-aside").map(({ disk, volume }) => ({ disk, volume }));
  const left = replacing.disks.filter((key) => !disks.some(({ disk }) => disk === key));
  return { vmId, name, began, disks, left, replaced: eventsOf(events, "replaced").length > 0 };
}

type Identity = Pick<
  Evidence,
  "schemaVersion" | "runId" | "kind" | "stack" | "startedAt" | "source" | "target" | "clock" | "environmentNotes"
>;

/** What a run and a refused one both have. */
function identityOf(event: EventOf<"run-started" | "run-refused">, clockOffsetSeconds: number | undefined): Identity {
  const { restorePoint } = event;
  const startedByNode = Date.parse(event.at) / 1000 + (clockOffsetSeconds ?? 0);
  return {
    schemaVersion: 1,
    runId: event.runId,
    kind: event.kind,
    stack: event.stack,
    startedAt: event.at,
    source: {
      vmId: event.sourceVmId,
      archive: restorePoint?.archive ?? null,
      archiveTime: restorePoint?.archiveTime ?? null,
      archiveBytes: restorePoint?.archiveBytes ?? null,
      notes: restorePoint?.notes ?? null,
      archiveAgeSeconds: restorePoint === null ? null : Math.round(startedByNode) - restorePoint.archiveTime,
    },
    target: { node: event.node, vmId: event.vmId, vmName: event.vmName },
    clock: { nodeOffsetSeconds: clockOffsetSeconds ?? null },
    environmentNotes: event.environmentNotes,
  };
}

/** A drill that could not begin has failed, without any time. */
function refusalEvidence(event: EventOf<"run-refused">): Evidence {
  return {
    ...identityOf(event, undefined),
    verdict: "failed",
    reasons: [`the run was refused before it began: ${event.reason}`],
    endedAt: event.at,
    rto: { seconds: null, targetSeconds: event.rtoTargetSeconds, met: null },
    rpo: { seconds: null, targetSeconds: event.rpoTargetSeconds, met: null, recoveryPoint: null },
    outage: null,
    aside: null,
    phases: [],
    isolation: [],
    checks: [],
    findings: [],
  };
}

/** Difference of two clocks from which on it is told; measured to a second. */
const CLOCK_SLACK_SECONDS = 5;

/** Findings about targets that were missed and clocks that differ; they do not change the verdict. */
export function targetFindings(evidence: Evidence): string[] {
  const findings: string[] = [];
  if (evidence.rto.met === false)
    findings.push(`RTO ${evidence.rto.seconds} s is over the target of ${evidence.rto.targetSeconds} s.`);
  if (evidence.rpo.met === false)
    findings.push(`RPO ${evidence.rpo.seconds} s is over the target of ${evidence.rpo.targetSeconds} s.`);
  const { archiveAgeSeconds } = evidence.source;
  const { nodeOffsetSeconds } = evidence.clock;
  if (nodeOffsetSeconds !== null && Math.abs(nodeOffsetSeconds) > CLOCK_SLACK_SECONDS)
    findings.push(
      `The clock of node ${evidence.target.node} is ${Math.abs(nodeOffsetSeconds)} s ` +
        `${nodeOffsetSeconds > 0 ? "ahead of" : "behind"} this computer's; RPO and age count by the node's.`,
    );
  if (archiveAgeSeconds !== null && archiveAgeSeconds > evidence.rpo.targetSeconds)
    findings.push(
      `The archive is ${archiveAgeSeconds} s old, older than the RPO target of ${evidence.rpo.targetSeconds} s.`,
    );
  return findings;
}
