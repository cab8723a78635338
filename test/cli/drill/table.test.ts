import { drillTable } from "../../../cli/drill/table";
import type { Evidence } from "../../../provider/contract/evidence";

const PASSED: Evidence = {
  ...{ schemaVersion: 1, runId: "r", kind: "drill", stack: "drill", verdict: "passed", reasons: [] },
  ...{ startedAt: "2026-11-20T10:00:00.000Z", endedAt: "2026-11-20T10:02:00.000Z" },
  source: {
    ...{
      vmId: 200,
      archive: "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst",
      archiveTime: 1,
      archiveBytes: 1,
    },
    ...{ notes: "", archiveAgeSeconds: 8 * 3600 },
  },
  target: { node: "pve", vmId: 9200, vmName: "docker-drill" },
  rto: { seconds: 86, targetSeconds: 600, met: true },
  clock: { nodeOffsetSeconds: 0 },
  rpo: { seconds: 30, targetSeconds: 600, met: true, recoveryPoint: null },
  ...{ outage: null, aside: null, phases: [], isolation: [], checks: [], findings: [], environmentNotes: [] },
};

test("one line a drill, each further reason on a line of its own, and nothing is cut", () => {
  const old = "nas:backup/vzdump-qemu-200-2026_11_01-02_00_00.vma.zst";
  const failed: Evidence = {
    ...{
      ...PASSED,
      verdict: "failed",
      reasons: ["postgres: rows failed:\n  0, expected at least 1", "web: was not checked"],
    },
    source: { ...PASSED.source, archive: old, archiveAgeSeconds: 19.33 * 86_400 },
    rto: { seconds: null, targetSeconds: 600, met: null },
    rpo: { seconds: null, targetSeconds: 600, met: null, recoveryPoint: null },
  };
  const rows = [
    { archive: PASSED.source.archive ?? undefined, evidence: PASSED },
    { archive: old, evidence: failed },
    { archive: undefined, evidence: undefined, problem: "the state can't be read" },
  ];
  expect(drillTable(rows)).toEqual([
    "archive                                      age     verdict  RTO         RPO   reasons",
    "vzdump-qemu-200-2026_11_20-02_00_00.vma.zst  8.0 h   passed   1 min 26 s  30 s",
    "vzdump-qemu-200-2026_11_01-02_00_00.vma.zst  19.3 d  failed   -           -     postgres: rows failed: 0, expected at least 1",
    "                                                                                web: was not checked",
    "none                                         -       none     -           -     the state can't be read",
  ]);
});
