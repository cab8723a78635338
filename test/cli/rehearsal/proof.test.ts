import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { printVerdict } from "../../../cli/rehearsal/evidence";
import { withdrawVerdict } from "../../../cli/rehearsal/proof";
import { appendEvent, type JournalRef, type NewEvent, writeEvidence } from "../../../provider/journal";

let run: JournalRef;
beforeEach(() => {
  run = { runDir: mkdtempSync(join(tmpdir(), "proof-")), runId: "20261120T020000Z-drill-abc123" };
});
afterEach(() => rmSync(run.runDir, { recursive: true }));

const start = new Date("2026-11-20T02:00:00Z");
const later = (seconds: number): Date => new Date(start.getTime() + seconds * 1000);
const times = { startedAt: later(30).toISOString(), endedAt: later(31).toISOString() };
const passedCheck: NewEvent = {
  ...({ type: "check", service: "postgres", name: "container", kind: "container" } as const),
  ...({ status: "passed", mandatory: true, detail: "healthy", ...times } as const),
};

/** A drill that passed by its own checks. */
async function passedRun(): Promise<void> {
  const started: NewEvent = {
    ...({ type: "run-started", kind: "drill", stack: "drill", node: "pve" } as const),
    ...{ vmId: 9200, vmName: "docker-drill", pid: 1 },
    ...{
      vmUuid: "6f0c1c3e-54a5-4a34-9d54-1a9b6a3f0c11",
      sourceVmId: 200,
      rtoTargetSeconds: 600,
      rpoTargetSeconds: 600,
    },
    restorePoint: { archive: "nas:backup/a.vma.zst", archiveTime: start.getTime() / 1000, archiveBytes: 1, notes: "" },
    environmentNotes: [],
  };
  await appendEvent(run, started, start);
  for (const phase of ["restore", "verify", "start", "agent", "isolation"] as const) {
    await appendEvent(run, { type: "phase-ended", phase, status: "passed", detail: "" }, later(20));
  }
  await appendEvent(run, passedCheck, later(31));
  await appendEvent(run, { type: "run-ended", verdict: "passed", reasons: [] }, later(32));
  const { evidence } = await writeEvidence(run.runDir);
  expect([evidence.verdict, evidence.rto.seconds]).toEqual(["passed", 31]);
}

test("evidence and report never say passed about a rehearsal whose own row is missing", async () => {
  await passedRun();
  const outcome = { status: "failed", detail: "no such row", startedAt: later(40), endedAt: later(41) } as const;
  const evidence = await withdrawVerdict(run, outcome);
  expect(evidence).toMatchObject({
    verdict: "failed",
    reasons: ["rehearsal: data written before the backup failed: no such row"],
    rto: { seconds: null },
  });
  expect(JSON.parse(readFileSync(join(run.runDir, "drill.json"), "utf8"))).toEqual(evidence);
  expect(readFileSync(join(run.runDir, "report.md"), "utf8")).not.toMatch(/verdict\W+passed|: passed$/im);
  expect(printVerdict(evidence)).toEqual(
    expect.arrayContaining([
      "verdict  FAILED",
      "because  rehearsal: data written before the backup failed: no such row",
    ]),
  );
});

test("a row that nobody could look for is no pass either", async () => {
  await passedRun();
  const outcome = { status: "skipped", detail: "no answer", startedAt: later(40), endedAt: later(41) } as const;
  expect((await withdrawVerdict(run, outcome)).reasons).toEqual([
    "rehearsal: data written before the backup could not run: no answer",
  ]);
});
