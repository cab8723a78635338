/** The order of commands and what comes of them, with a `pulumi` that only writes what a drill would leave. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parse } from "yaml";
import { readDrillConfig } from "../../../cli/drill/config";
import { type DrillArgs, runDrills } from "../../../cli/drill/drill";
import type { PulumiResult, RunPulumi } from "../../../cli/drill/pulumi";
import { Interrupted } from "../../../cli/errors";
import { Progress } from "../../../cli/progress";
import type { VerdictValue } from "../../../provider/contract/evidence";
import { appendEvent, closeAsAborted, writeEvidence } from "../../../provider/journal";
import { newRunId } from "../../../provider/refusal";
import type { DrillConfig } from "../../../stacks/config";
import { plannedRun } from "../../../stacks/planned-run";
import { FakePve } from "../../provider/support/fake-pve";

const repo = path.resolve(__dirname, "../../..");
const archiveAt = (day: number): string => `nas:backup/vzdump-qemu-200-2026_11_${day}-02_00_00.vma.zst`;
const OK: PulumiResult = { code: 0, output: "" };
const NO_RUN: PulumiResult = { code: 0, output: '{"deployment":{"resources":[]}}' };

let dir: string;
let config: DrillConfig;
let pve: FakePve;
let commands: string[];
let lines: string[];
let interrupt: AbortController;
/** Verdict by archive; "refused": the update fails before a run begins. */
let outcomes: Record<string, VerdictValue | "refused" | "interrupted">;
let destroyResult: PulumiResult;

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "homelab-drill-cli-"));
  const committed = await readDrillConfig(repo, "drill");
  config = { ...committed, files: { ...committed.files, evidence: path.join(dir, "drills") } };
  pve = new FakePve();
  pve.backups = [18, 20, 19].map((day) => ({
    ...{ volid: archiveAt(day), ctime: Date.UTC(2026, 10, day, 2) / 1000, size: 5, format: "vma.zst", vmid: 200 },
  }));
  pve.backups.push({ volid: "nas:backup/other.vma", ctime: 1, size: 5, format: "vma" });
  commands = [];
  lines = [];
  interrupt = new AbortController();
  outcomes = {};
  destroyResult = OK;
});
afterEach(async () => rm(dir, { recursive: true }));

let lastRun: { runId: string; runDir: string } | undefined;

const pulumi: RunPulumi = async ([command = "", ...args]) => {
  if (command === "stack") return NO_RUN;
  const file = args[args.indexOf("--config-file") + 1];
  const chosen = args.includes("--config-file")
    ? ((parse(await readFile(file ?? "", "utf8")) as { config: Record<string, { restorePoint: { archive: string } }> })
        .config["homelab:drill"]?.restorePoint.archive ?? "")
    : "configured";
  commands.push(`${command} ${chosen}`);
  if (command === "destroy") {
    if (lastRun !== undefined && interrupt.signal.aborted) await closeAsAborted(lastRun, "destroyed");
    return destroyResult;
  }
  const outcome = outcomes[chosen] ?? "passed";
  if (outcome === "refused")
    return { code: 1, output: "Diagnostics:\n    error: has no room\n    error: update failed" };
  await drillLeaves(chosen, outcome);
  return outcome === "passed" ? OK : { code: 1, output: "error: Unable to pass" };
};

async function drillLeaves(archive: string, verdict: VerdictValue | "interrupted"): Promise<void> {
  const runId = newRunId("drill", new Date());
  const { evidenceDir, ...run } = plannedRun(config, "drill");
  lastRun = { runId, runDir: path.join(evidenceDir, runId) };
  const restorePoint = { archive, archiveTime: Date.now() / 1000 - 3600, archiveBytes: 1, notes: "" };
  await appendEvent(lastRun, {
    ...{
      type: "run-started",
      ...run,
      restorePoint: { ...restorePoint, archiveTime: Math.round(restorePoint.archiveTime) },
    },
    ...{ vmUuid: "6f0c1c3e-54a5-4a34-9d54-1a9b6a3f0c11", pid: process.pid },
  });
  if (verdict === "interrupted") {
    interrupt.abort(new Interrupted("SIGINT"));
    return;
  }
  const reasons = verdict === "passed" ? [] : ["web: was not checked"];
  await appendEvent(lastRun, { type: "run-ended", verdict, reasons });
  await writeEvidence(lastRun.runDir);
}

async function drill(more: Partial<DrillArgs>): Promise<number> {
  const write = (text: string): void => void lines.push(...text.split("\n"));
  const output = { write, isTerminal: false, columns: () => 80 };
  using progress = new Progress(path.join(dir, "log"), output);
  return await runDrills({
    ...{ config, stack: "drill", projectDir: repo, selection: { by: "configuration" }, keep: false, pulumi, progress },
    ...{ signal: interrupt.signal, client: pve.client(), ...more },
  });
}

const tableOf = (): string[] =>
  lines
    .filter((line) => /^(?:vzdump|none|archive|configured) ?/.test(line))
    .map((line) => line.replaceAll(/ {2,}/g, " | "));

test("the newest archives one after another, newest first, each removed before the next, committed files untouched", async () => {
  const before = await readFile(path.join(repo, "Pulumi.drill.yaml"), "utf8");
  expect(await drill({ selection: { by: "last", count: 2 } })).toBe(0);
  expect(commands).toEqual([20, 20, 19, 19].map((day, n) => `${n % 2 === 0 ? "up" : "destroy"} ${archiveAt(day)}`));
  expect(tableOf()).toEqual([
    "archive | age | verdict | RTO | RPO | reasons",
    "vzdump-qemu-200-2026_11_20-02_00_00.vma.zst | 1.0 h | passed | - | -",
    "vzdump-qemu-200-2026_11_19-02_00_00.vma.zst | 1.0 h | passed | - | -",
  ]);
  expect(await readFile(path.join(repo, "Pulumi.drill.yaml"), "utf8")).toBe(before);
});

test("one failed drill fails the row, and the others are still run", async () => {
  outcomes = { [archiveAt(20)]: "failed" };
  expect(await drill({ selection: { by: "last", count: 3 } })).toBe(1);
  expect(tableOf()[1]).toBe(
    "vzdump-qemu-200-2026_11_20-02_00_00.vma.zst | 1.0 h | failed | - | - | web: was not checked",
  );
  expect(commands).toHaveLength(6);
});

test("fewer archives than were asked for never end with exit code 0", async () => {
  expect(await drill({ selection: { by: "last", count: 5 } })).toBe(1);
  expect(lines).toContain("There are only 3 archives, not 5, so this can't end with exit code 0.");
});

test("archives are named by volume id or file name; one that is not there stops everything before it begins", async () => {
  const names = ["vzdump-qemu-200-2026_11_18-02_00_00.vma.zst", archiveAt(20)];
  expect(await drill({ selection: { by: "name", names } })).toBe(0);
  expect(commands.filter((command) => command.startsWith("up"))).toEqual([
    `up ${archiveAt(18)}`,
    `up ${archiveAt(20)}`,
  ]);
  commands = [];
  await expect(drill({ selection: { by: "name", names: ["x.vma.zst"] } })).rejects.toThrow(
    "Unable to choose archives of VM 200 on storage nas: nas:backup/x.vma.zst is not there. " +
      `There are: ${archiveAt(20)}, ${archiveAt(19)}, ${archiveAt(18)}.`,
  );
  expect(commands).toEqual([]);
});

test("without a selection the configuration chooses, and --keep leaves a passed drill standing", async () => {
  expect(await drill({ keep: true })).toBe(0);
  expect(commands).toEqual(["up configured"]);
  commands = [];
  outcomes = { configured: "failed" };
  expect(await drill({ keep: true })).toBe(1);
  expect(commands).toEqual(["up configured", "destroy configured"]);
});

test("a drill that could not begin leaves evidence with Pulumi's words", async () => {
  outcomes = { configured: "refused" };
  expect(await drill({})).toBe(1);
  expect(tableOf()[1]).toBe("none | - | failed | - | - | the run was refused before it began: has no room");
  const [run = ""] = await readdir(config.files.evidence);
  expect(await readFile(path.join(config.files.evidence, run, "report.md"), "utf8")).toContain("has no room");
});

test("a drill that stands is left alone", async () => {
  const standing: RunPulumi = async () => ({ code: 0, output: '{ "type": "homelab:drill:Lease" }' });
  await expect(drill({ pulumi: standing })).rejects.toThrow(
    "Unable to begin a drill: one stands in stack drill. Run pulumi destroy -s drill when nobody needs it any more.",
  );
});

test("a stack that can't be read says so in Pulumi's words", async () => {
  const unreadable: RunPulumi = async () => ({ code: 255, output: "error: unable to open bucket: no such host" });
  await expect(drill({ pulumi: unreadable })).rejects.toThrow(
    "Unable to begin a drill: the state of stack drill can't be read: unable to open bucket: no such host. " +
      "Make the stack with pulumi stack init drill, or log in to the backend that has it.",
  );
});

test("a stack that does not exist", async () => {
  const missing: RunPulumi = async () => ({ code: 6, output: "error: no stack named 'drill' found" });
  await expect(drill({ pulumi: missing })).rejects.toThrow(
    "Unable to use stack drill: there is none of this name in the state. " +
      "Make it with pulumi stack init drill, or set PULUMI_BACKEND_URL to the backend that has it.",
  );
});

test("a stack that another update holds ends the command at once, with evidence and without a destroy", async () => {
  const tried: string[] = [];
  const locked: RunPulumi = async ([command = ""]) => {
    tried.push(command);
    if (command === "stack") return OK;
    const text = "the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end.";
    return {
      code: 1,
      output: `error: ${text}\n  file:///state/x.json: created by me@desk (pid 1) at 2026-11-20T02:00:00Z`,
    };
  };
  await expect(drill({ pulumi: locked })).rejects.toThrow(
    "Unable to use stack drill: another update holds it (of me@desk (pid 1) at 2026-11-20T02:00:00Z). " +
      "Wait for its end; if it died, release the stack with pulumi cancel -s drill.",
  );
  expect(tried).toEqual(["stack", "up"]);
  expect(await readdir(config.files.evidence)).toHaveLength(1);
});

test("Ctrl-C removes the VM of the drill under way, ends it as aborted and begins no other", async () => {
  outcomes = { [archiveAt(20)]: "interrupted" };
  await expect(drill({ selection: { by: "last", count: 3 } })).rejects.toThrow("Interrupted by SIGINT.");
  expect(commands).toEqual([`up ${archiveAt(20)}`, `destroy ${archiveAt(20)}`]);
  expect(tableOf()[1]).toBe("vzdump-qemu-200-2026_11_20-02_00_00.vma.zst | 1.0 h | aborted | - | - | destroyed");
  expect(lines).toContain("2 of 3 drills were not run or not finished.");
});

test("a destroy that fails stops everything and says what to do", async () => {
  destroyResult = { code: 1, output: "error: Unable to remove VM 9200 on pve: it is locked (backup)." };
  await expect(drill({ selection: { by: "last", count: 2 } })).rejects.toThrow(
    "Unable to remove the drill's VM 9200: pulumi destroy -s drill failed: " +
      "Unable to remove VM 9200 on pve: it is locked (backup).\n" +
      "Remove the cause and run pulumi destroy -s drill; no further drill was begun.",
  );
  expect(commands).toHaveLength(2);
});

test("a stack of another kind is no drill", async () => {
  await writeFile(path.join(dir, "Pulumi.yaml"), "name: homelab\n");
  await writeFile(path.join(dir, "Pulumi.prod.yaml"), "config:\n  homelab:kind: prod\n");
  await expect(readDrillConfig(dir, "prod")).rejects.toThrow(
    `Unable to use stack "prod": homelab:kind in ${dir}/Pulumi.prod.yaml is prod. ` +
      "Name a stack whose homelab:kind is drill, with --stack.",
  );
});
