import { appendFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  appendEvent,
  closeAsAborted,
  closeDeadRuns,
  journalFile,
  newestRunOn,
  readJournal,
} from "../../provider/journal";
import { isProcessAlive } from "../../provider/process-alive";

let evidenceDir: string;
beforeEach(async () => {
  evidenceDir = await mkdtemp(join(tmpdir(), "homelab-journal-"));
});
afterEach(async () => rm(evidenceDir, { recursive: true }));

const ref = (runId: string): { runId: string; runDir: string } => ({ runId, runDir: join(evidenceDir, runId) });

async function start(runId: string, pid = process.pid, vmId = 9200, host?: string): Promise<void> {
  await appendEvent(ref(runId), {
    ...{ type: "run-started", kind: "drill", stack: "drill", node: "pve", vmId, vmName: "d", sourceVmId: 200, pid },
    ...(host === undefined ? {} : { host }),
    vmUuid: "6f0c1c3e-54a5-4a34-9d54-1a9b6a3f0c11",
    restorePoint: { archive: "nas:backup/x", archiveTime: 1, archiveBytes: 1, notes: "" },
    ...{ rtoTargetSeconds: 1, rpoTargetSeconds: 1, environmentNotes: [] },
  });
}

test("events of steps side by side each keep their line", async () => {
  await start("a");
  await Promise.all(
    Array.from({ length: 50 }, async (_, n) => appendEvent(ref("a"), { type: "finding", text: `${n} ü` })),
  );
  const events = await readJournal(ref("a").runDir);
  expect(events).toHaveLength(51);
  expect(new Set(events.map((event) => JSON.stringify(event))).size).toBe(51);
});

test("a line that a crash cut off is ignored; a broken line before others is an error", async () => {
  await start("a");
  await appendFile(journalFile(ref("a").runDir), '{"type":"find');
  expect(await readJournal(ref("a").runDir)).toHaveLength(1);
  await appendFile(journalFile(ref("a").runDir), "\n");
  await expect(readJournal(ref("a").runDir)).rejects.toThrow("Unable to read line 2 of the journal");
});

test("a dead run whose last line was cut off is closed, and its journal can be read", async () => {
  await start("whole", 2 ** 22 - 1);
  // Another process wrote it: this one has not looked at it yet.
  const written = (await readFile(journalFile(ref("whole").runDir), "utf8")).replaceAll('"whole"', '"torn"');
  await rm(ref("whole").runDir, { recursive: true });
  await mkdir(ref("torn").runDir);
  await writeFile(journalFile(ref("torn").runDir), `${written}{"type":"find`);
  expect(await closeDeadRuns(evidenceDir)).toEqual({ closed: ["torn"], problems: [] });
  expect((await readJournal(ref("torn").runDir)).map(({ type }) => type)).toEqual(["run-started", "run-ended"]);
});

test("dead runs are closed once, living and ended ones are left alone", async () => {
  await start("1-dead", 2 ** 22 - 1);
  await start("2-living");
  await start("3-ended", 2 ** 22 - 1);
  expect(await closeAsAborted(ref("3-ended"), "by hand")).toBe(true);
  expect(await closeDeadRuns(evidenceDir)).toEqual({ closed: ["1-dead"], problems: [] });
  expect(await closeDeadRuns(evidenceDir)).toEqual({ closed: [], problems: [] });
  expect(await readdir(ref("2-living").runDir)).toEqual(["journal.ndjson"]);
  expect(await readFile(join(ref("1-dead").runDir, "report.md"), "utf8")).toContain("ended without a verdict");
});

test("a run that had ended or was refused gets the evidence that a crash kept it from", async () => {
  await start("1-ended", 2 ** 22 - 1);
  await appendEvent(ref("1-ended"), { type: "run-ended", verdict: "failed", reasons: ["it did not boot"] });
  const targets = { rtoTargetSeconds: 1, rpoTargetSeconds: 1, environmentNotes: [] };
  await appendEvent(ref("2-refused"), {
    ...{ type: "run-refused", kind: "drill", stack: "drill", node: "pve", vmId: 9200, vmName: "d", sourceVmId: 200 },
    ...{ ...targets, restorePoint: null, reason: "there is no archive" },
  });
  expect(await closeDeadRuns(evidenceDir)).toEqual({ closed: [], problems: [] });
  for (const [run, reason] of [
    ["1-ended", "it did not boot"],
    ["2-refused", "there is no archive"],
  ] as const) {
    for (const file of ["drill.json", "report.md"]) {
      expect(await readFile(join(ref(run).runDir, file), "utf8")).toContain(reason);
    }
  }
});

test("the newest run on a VMID is found, and a missing folder has none", async () => {
  await start("2026-1");
  await start("2026-2");
  await start("2026-3", process.pid, 9300);
  expect((await newestRunOn(evidenceDir, "pve", 9200))?.runId).toBe("2026-2");
  expect(await newestRunOn(join(evidenceDir, "none"), "pve", 9200)).toBeUndefined();
});

test("a process that only has the id of an older one is not that one", async () => {
  expect(await isProcessAlive(process.pid, new Date())).toBe(true);
  expect(await isProcessAlive(process.pid, new Date(Date.now() - 365 * 24 * 3600 * 1000))).toBe(false);
  expect(await isProcessAlive(2 ** 22 - 1, new Date())).toBe(false);
});

test("a run of another computer is left to it, because its process id means nothing here", async () => {
  await start("1-here", 2 ** 22 - 1, 9200, "desk");
  await start("2-there", 2 ** 22 - 1, 9200, "laptop");
  expect(await closeDeadRuns(evidenceDir, "desk")).toEqual({ closed: ["1-here"], problems: [] });
  expect((await readJournal(ref("2-there").runDir)).map(({ type }) => type)).toEqual(["run-started"]);
});

test("a journal that can't be read is named and keeps no other run from being found or closed", async () => {
  await start("1-dead", 2 ** 22 - 1);
  await start("2-broken", 2 ** 22 - 1);
  await appendFile(journalFile(ref("2-broken").runDir), "no event\n");
  expect(await closeDeadRuns(evidenceDir)).toEqual({
    closed: ["1-dead"],
    problems: [
      `Unable to read line 2 of the journal ${journalFile(ref("2-broken").runDir)}: it is no journal event. ` +
        "The journal was changed by hand; restore it or move its folder away.",
    ],
  });
  expect((await newestRunOn(evidenceDir, "pve", 9200))?.runId).toBe("1-dead");
});
