import { evidenceSchema, type JournalEvent } from "../../provider/contract/evidence";
import { evidenceFromJournal, judge, targetFindings } from "../../provider/evidence";
import { renderReport } from "../../provider/report";

const runId = "20261120T020000Z-drill-abc123";
const at = (seconds: number): string => new Date(Date.UTC(2026, 10, 20, 2, 0, 0) + seconds * 1000).toISOString();

const started: JournalEvent = {
  at: at(0),
  runId,
  type: "run-started",
  kind: "drill",
  stack: "drill",
  node: "pve",
  vmId: 9200,
  vmName: "drill-docker",
  vmUuid: "6f0c1c3e-54a5-4a34-9d54-1a9b6a3f0c11",
  sourceVmId: 200,
  restorePoint: {
    archive: "nas:backup/vzdump-qemu-200-2026_11_20-01_00_00.vma.zst",
    archiveTime: Date.UTC(2026, 10, 20, 1, 0, 0) / 1000,
    archiveBytes: 1000,
    notes: "docker",
  },
  rtoTargetSeconds: 600,
  rpoTargetSeconds: 7200,
  environmentNotes: [],
  pid: 1,
};

function phase(
  name: "restore" | "verify" | "start" | "agent" | "isolation",
  seconds: number,
  status: "passed" | "failed" = "passed",
): JournalEvent {
  return { at: at(seconds), runId, type: "phase-ended", phase: name, status, detail: "" };
}

function check(
  service: string,
  ended: number,
  status: "passed" | "failed" | "skipped" = "passed",
  mandatory = true,
): JournalEvent {
  return {
    at: at(ended),
    runId,
    type: "check",
    service,
    name: "container",
    kind: "container",
    status,
    mandatory,
    detail: status === "passed" ? "healthy" : "exited with 137",
    startedAt: at(60),
    endedAt: at(ended),
  };
}

const recovery: JournalEvent = {
  at: at(75),
  runId,
  type: "recovery-point",
  status: "passed",
  recoveryPoint: at(-3630),
  rpoSeconds: 3630,
  detail: "30 s before the archive",
};
const boot = [
  phase("restore", 10),
  phase("verify", 11),
  phase("start", 12),
  phase("agent", 60),
  phase("isolation", 63),
];
const good: JournalEvent[] = [started, ...boot, check("postgres", 70), recovery, check("miniflux", 80)];
const ended = (judgement: ReturnType<typeof judge>): JournalEvent => ({
  at: at(81),
  runId,
  type: "run-ended",
  ...judgement,
});
const expected = { services: ["postgres", "miniflux"], recoveryPoint: true };

test("a run in which everything passed is passed, and its phases add up to the RTO", () => {
  const judgement = judge(good, expected);
  expect(judgement).toEqual({ verdict: "passed", reasons: [] });
  const evidence = evidenceSchema.parse(evidenceFromJournal([...good, ended(judgement)]));
  expect(evidence.rto).toEqual({ seconds: 80, targetSeconds: 600, met: true });
  expect(evidence.phases.map(({ phase: name, seconds }) => [name, seconds])).toEqual([
    ["restore", 10],
    ["verify", 1],
    ["start", 1],
    ["agent", 48],
    ["isolation", 3],
    ["checks", 17],
  ]);
  expect(evidence.phases.reduce((sum, { seconds }) => sum + seconds, 0)).toBe(evidence.rto.seconds);
  expect(evidence.rpo).toMatchObject({ seconds: 3630, met: true });
});

test("a failed check fails the run by name and leaves no RTO", () => {
  const events = [started, ...boot, check("postgres", 70), recovery, check("miniflux", 80, "failed")];
  const judgement = judge(events, expected);
  expect(judgement).toEqual({ verdict: "failed", reasons: ["miniflux: container failed: exited with 137"] });
  expect(evidenceFromJournal([...events, ended(judgement)]).rto).toMatchObject({ seconds: null, met: null });
});

test("a mandatory check that could not run is never a pass, an optional one may be", () => {
  const skipped = [started, ...boot, check("postgres", 70), recovery, check("miniflux", 80, "skipped")];
  expect(judge(skipped, expected).reasons).toEqual(["miniflux: container could not run: exited with 137"]);
  const optional = [started, ...boot, check("postgres", 70), recovery, check("miniflux", 80, "skipped", false)];
  expect(judge(optional, expected).verdict).toBe("passed");
});

test("what was expected and does not stand in the journal fails the run", () => {
  expect(judge([started, ...boot, check("postgres", 70)], expected).reasons).toEqual([
    "miniflux: was not checked",
    "recovery point: was not measured",
  ]);
  expect(judge([started], { services: [], recoveryPoint: false }).reasons).toEqual([
    "phase restore never ended",
    "phase verify never ended",
    "phase start never ended",
    "phase agent never ended",
    "phase isolation never ended",
    "nothing was checked",
  ]);
});

test("a journal without an end is aborted", () => {
  const evidence = evidenceFromJournal([started, phase("restore", 10)]);
  expect(evidence).toMatchObject({ verdict: "aborted", reasons: ["the run did not end"] });
  expect(evidence.rto.seconds).toBeNull();
});

test("a journal without a start makes no evidence", () => {
  expect(() => evidenceFromJournal([phase("restore", 10)])).toThrow(
    "Unable to make evidence from the journal: it has no run-started event.",
  );
});

test("missed targets are findings", () => {
  const slow = { ...started, rtoTargetSeconds: 60, rpoTargetSeconds: 1800 };
  const evidence = evidenceFromJournal([slow, ...good.slice(1)]);
  expect(targetFindings(evidence)).toEqual([
    "RTO 80 s is over the target of 60 s.",
    "RPO 3630 s is over the target of 1800 s.",
    "The archive is 3600 s old, older than the RPO target of 1800 s.",
  ]);
});

test("the age counts by the node's clock, and a clock that differs is a finding", () => {
  const skewed = { ...started, clockOffsetSeconds: -90 };
  const evidence = evidenceFromJournal([skewed, ...good.slice(1)]);
  expect(evidence.clock).toEqual({ nodeOffsetSeconds: -90 });
  expect(evidence.source.archiveAgeSeconds).toBe(3510);
  expect(targetFindings(evidence)).toEqual([
    "The clock of node pve is 90 s behind this computer's; RPO and age count by the node's.",
  ]);
});

test("an RPO below zero is no RPO but a wrong clock, and never passes", () => {
  const future: JournalEvent = { ...recovery, recoveryPoint: at(30), rpoSeconds: -30 };
  const events = [started, ...boot, check("postgres", 70), future, check("miniflux", 80)];
  expect(judge(events, expected).reasons).toEqual([
    `recovery point: its newest row (${at(30)}) is 30.0 s later than the start of the drill by the node's clock, ` +
      "so the clock of the VM or of the node is wrong and no RPO was measured",
  ]);
  expect(evidenceFromJournal(events).rpo).toMatchObject({ seconds: null, met: null, recoveryPoint: at(30) });
});

test("the report names verdict, archive, times and each failed check, and keeps table cells in their cells", () => {
  const events = [started, ...boot, check("postgres", 70), check("mini|flux", 80, "failed")];
  const report = renderReport(evidenceFromJournal([...events, ended(judge(events, expected))]));
  expect(report).toContain(`# Restore drill ${runId}: FAILED`);
  expect(report).toContain("vzdump-qemu-200-2026_11_20-01_00_00.vma.zst");
  expect(report).toContain("| RTO | not reached (target 600.0 s (10.0 min)) |");
  expect(report).toContain("| mini\\|flux | container | failed | exited with 137 |");
});

test("a run in which every service is excused has checked nothing, which is no pass", () => {
  const excused = [started, ...boot, recovery, check("postgres", 70, "skipped", false)];
  const expected = { services: ["postgres"], recoveryPoint: false };
  expect(judge(excused, expected)).toEqual({ verdict: "failed", reasons: ["nothing was checked"] });
});
