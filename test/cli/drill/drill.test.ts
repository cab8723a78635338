/** The order of commands and what comes of them, with a `pulumi` that only writes what a drill would leave. */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
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

/** The stack's state, as `pulumi stack export` prints it. */
function stateWith(run?: { runId: string; runDir: string }, types: readonly string[] = []): PulumiResult {
  const lease = run === undefined ? [] : [{ type: "homelab:drill:Lease", outputs: { run } }];
  const resources = [...lease, ...types.map((type) => ({ type }))];
  return { code: 0, output: `warning: x\n${JSON.stringify({ deployment: { resources } }, undefined, 2)}\n` };
}

let dir: string;
let config: DrillConfig;
let pve: FakePve;
let commands: string[];
let lines: string[];
let interrupt: AbortController;
/** Verdict by archive; "refused": the update fails before a run begins. */
let outcomes: Record<string, VerdictValue | "refused" | "interrupted">;
let destroyResult: PulumiResult;
/** How an update ends that has made its run; by default as its verdict says. */
let upResult: PulumiResult | undefined;

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
  standing = undefined;
  standingTypes = ["homelab:drill:Verdict"];
  lines = [];
  interrupt = new AbortController();
  outcomes = {};
  destroyResult = OK;
  upResult = undefined;
});
afterEach(async () => rm(dir, { recursive: true }));

let lastRun: { runId: string; runDir: string } | undefined;
let standing: { runId: string; runDir: string } | undefined;
let standingTypes: string[];

const pulumi: RunPulumi = async ([command = "", ...args]) => {
  if (command === "stack") return stateWith(standing, standingTypes);
  const file = args[args.indexOf("--config-file") + 1];
  const chosen = args.includes("--config-file")
    ? ((parse(await readFile(file ?? "", "utf8")) as { config: Record<string, { restorePoint: { archive: string } }> })
        .config["homelab:drill"]?.restorePoint.archive ?? "")
    : "configured";
  commands.push(`${command} ${chosen}`);
  if (command === "destroy") {
    if (lastRun !== undefined && interrupt.signal.aborted) await closeAsAborted(lastRun, "destroyed");
    if (destroyResult.code === 0) standing = undefined;
    return destroyResult;
  }
  const outcome = outcomes[chosen] ?? "passed";
  if (outcome === "refused")
    return { code: 1, output: "Diagnostics:\n    error: has no room\n    error: update failed" };
  await drillLeaves(chosen, outcome);
  if (upResult !== undefined) return upResult;
  return outcome === "passed" ? OK : { code: 1, output: "error: Unable to pass" };
};

/** A process id that no process has. */
const NOBODY = 2 ** 22 + 1;

async function drillLeaves(
  archive: string,
  verdict: VerdictValue | "interrupted" | "killed",
  { stack = "drill", pid = process.pid }: { stack?: string; pid?: number } = {},
): Promise<void> {
  const runId = newRunId("drill", new Date());
  const { evidenceDir, ...run } = plannedRun(config, stack);
  lastRun = { runId, runDir: path.join(evidenceDir, runId) };
  if (stack === "drill") standing = lastRun;
  const restorePoint = { archive, archiveTime: Date.now() / 1000 - 3600, archiveBytes: 1, notes: "" };
  await appendEvent(lastRun, {
    ...{
      type: "run-started",
      ...run,
      restorePoint: { ...restorePoint, archiveTime: Math.round(restorePoint.archiveTime) },
    },
    ...{ vmUuid: "6f0c1c3e-54a5-4a34-9d54-1a9b6a3f0c11", pid, host: hostname() },
  });
  if (verdict === "killed") return;
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

test("a Proxmox Backup Server is not said to hold no archives", async () => {
  pve.backups = [];
  pve.storage = { ...pve.storage, type: "pbs" };
  await expect(drill({ selection: { by: "last", count: 1 } })).rejects.toThrow(
    "Unable to choose archives of VM 200 on storage nas: it is a Proxmox Backup Server, whose backups this version does not " +
      "support. Back the VM up to a storage with vzdump archives too, and name that in homelab:backupStorage.",
  );
});

test("without a selection the configuration chooses, and --keep leaves a passed drill standing", async () => {
  expect(await drill({ keep: true })).toBe(0);
  expect(commands).toEqual(["up configured"]);
  commands = [];
  standing = undefined;
  outcomes = { configured: "failed" };
  expect(await drill({ keep: true })).toBe(1);
  expect(commands).toEqual(["up configured", "destroy configured"]);
});

test("a drill that could not begin leaves evidence with Pulumi's words", async () => {
  outcomes = { configured: "refused" };
  expect(await drill({})).toBe(1);
  expect(tableOf()[1]).toBe("none | - | failed | - | - | the run was refused before it began: has no room");
  const [run = ""] = (await readdir(config.files.evidence)).filter((name) => /^\d/.test(name));
  expect(await readFile(path.join(config.files.evidence, run, "report.md"), "utf8")).toContain("has no room");
});

test("the run of another stack in the same evidence folder is not taken for this drill's", async () => {
  outcomes = { configured: "refused" };
  const beside: RunPulumi = async (args, options) => {
    const result = await pulumi(args, options);
    if (args[0] === "up") await drillLeaves("nas:backup/other.vma", "passed", { stack: "drill-of-another" });
    return result;
  };
  expect(await drill({ pulumi: beside })).toBe(1);
  expect(tableOf()[1]).toBe("none | - | failed | - | - | the run was refused before it began: has no room");
});

test("an update that fails in spite of a passed verdict is no passed drill", async () => {
  upResult = { code: 255, output: "error: unable to save the checkpoint" };
  expect(await drill({})).toBe(1);
  expect(tableOf()[1]).toBe(
    "configured | 1.0 h | none | - | - | " +
      "pulumi up ended with code 255 although the run's verdict is passed: unable to save the checkpoint",
  );
});

describe("a drill that stands", () => {
  const STANDS =
    "Unable to begin a drill: one stands in stack drill. Run pulumi destroy -s drill when nobody needs it any more.";
  const runs = async (): Promise<string[]> => (await readdir(config.files.evidence)).filter((name) => /^\d/.test(name));

  test("with a verdict is left alone", async () => {
    await drillLeaves("kept", "failed", { pid: NOBODY });
    await expect(drill({})).rejects.toThrow(STANDS);
    expect(commands).toEqual([]);
  });

  test("whose process runs is left alone", async () => {
    await drillLeaves("running", "killed");
    await expect(drill({})).rejects.toThrow(STANDS);
  });

  test("whose journal is missing is left alone", async () => {
    standing = { runId: "20261120T020000Z-drill-aaaaaa", runDir: path.join(config.files.evidence, "gone") };
    await expect(drill({})).rejects.toThrow(STANDS);
  });

  test("and was killed is closed as aborted and removed, and the drill runs", async () => {
    await drillLeaves("killed", "killed", { pid: NOBODY });
    const [dead = ""] = await runs();
    expect(await drill({})).toBe(0);
    expect(commands).toEqual(["destroy configured", "up configured", "destroy configured"]);
    expect(lines).toContain(`Run ${dead} had died without a verdict and was closed as aborted.`);
    expect(lines).toContain(`Run ${dead} stands, but its process ${NOBODY} died without a verdict; removing it.`);
    const evidence = await readFile(path.join(config.files.evidence, dead, "drill.json"), "utf8");
    expect(JSON.parse(evidence)).toMatchObject({ verdict: "aborted" });
  });

  test("and whose destroy was cut off is removed", async () => {
    await drillLeaves("half", "passed", { pid: NOBODY });
    standingTypes = [];
    expect(await drill({})).toBe(0);
    expect(commands).toEqual(["destroy configured", "up configured", "destroy configured"]);
  });

  test("and was to be removed by a homelab drill that was killed is removed; a live one is waited for", async () => {
    await drillLeaves("abandoned", "passed", { pid: NOBODY });
    const claim = { pid: NOBODY, host: hostname(), startedAt: "2026-11-20T02:00:00.000Z", runs: await runs() };
    const file = path.join(config.files.evidence, ".drill-drill.json");
    await writeFile(file, JSON.stringify({ ...claim, pid: process.pid, startedAt: new Date().toISOString() }));
    await expect(drill({})).rejects.toThrow(
      new RegExp(
        `^Unable to begin a drill of stack drill: process ${process.pid} on \\S+ works on it since \\S+\\. ` +
          `Wait for its end; if it is dead, delete ${file} and try again\\.$`,
      ),
    );
    expect(commands).toEqual([]);
    await writeFile(file, JSON.stringify(claim));
    await writeFile(`${file}.76e92558.tmp`, "");
    expect(await drill({})).toBe(0);
    expect(commands).toEqual(["destroy configured", "up configured", "destroy configured"]);
    expect((await readdir(config.files.evidence)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("and can't be removed stops the command", async () => {
    await drillLeaves("killed", "killed", { pid: NOBODY });
    destroyResult = { code: 1, output: "error: Unable to remove VM 9200 on pve: it is locked (backup)." };
    await expect(drill({})).rejects.toThrow(
      "Unable to begin a drill: an earlier one of stack drill was killed, and pulumi can't remove what it left: " +
        "Unable to remove VM 9200 on pve: it is locked (backup).\nRemove the cause and run pulumi destroy -s drill.",
    );
    expect(commands).toEqual(["destroy configured"]);
  });
});

describe("a lock", () => {
  const at = "2026-11-20T02:00:00Z";

  /** Locked by these until `pulumi cancel`. */
  async function withLocks(...holders: string[]): Promise<{ tried: string[]; code: Promise<number> }> {
    const tried: string[] = [];
    let isLocked = true;
    const locked: RunPulumi = async (args, options) => {
      const [command = ""] = args;
      if (command === "cancel") isLocked = false;
      if (command !== "stack") tried.push(args.join(" ").replace(/ --skip-preview.*/, ""));
      if (command === "stack" || !isLocked) return command === "cancel" ? OK : pulumi(args, options);
      const lines = holders.map((holder) => `  file:///state/x.json: created by ${holder}`);
      const text = `the stack is currently locked by ${holders.length} lock(s). Either wait or cancel.`;
      return { code: 1, output: [`error: ${text}`, ...lines].join("\n") };
    };
    const code = drill({ pulumi: locked });
    await code.catch(() => undefined);
    return { tried, code };
  }

  test("of a dead process of this computer is released, and the update runs", async () => {
    const { tried, code } = await withLocks(`me@${hostname()} (pid ${NOBODY}) at ${at}`);
    expect(await code).toBe(0);
    expect(tried).toEqual([
      "up -s drill --yes",
      "cancel -s drill --yes",
      "up -s drill --yes",
      "destroy -s drill --yes",
    ]);
    expect(lines).toContain(
      `Stack drill was locked by process ${NOBODY} of this computer, which is dead; releasing it.`,
    );
  });

  test.each([
    ["of a live process", [`me@HOST (pid ${process.pid}) at ${new Date().toISOString()}`]],
    ["of another computer", [`me@elsewhere (pid ${NOBODY}) at ${at}`]],
    ["of a dead and of a live process", [`me@HOST (pid ${NOBODY}) at ${at}`, `me@HOST (pid ${process.pid}) at NOW`]],
    ["that does not tell its holder", ["nobody"]],
  ])("%s stays", async (_, holders) => {
    const now = new Date().toISOString();
    const { tried, code } = await withLocks(
      ...holders.map((text) => text.replace("HOST", hostname()).replace("NOW", now)),
    );
    await expect(code).rejects.toThrow(/^Unable to use stack drill: another update holds it/);
    expect(tried).toEqual(["up -s drill --yes"]);
  });
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
    if (command === "stack") return stateWith();
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
  expect(tried).toEqual(["stack", "stack", "up"]);
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

describe("what the configuration and the environment lack is one message, with file and line", () => {
  async function problemsOf(text: string, environment: NodeJS.ProcessEnv): Promise<string> {
    await writeFile(path.join(dir, "Pulumi.yaml"), await readFile(path.join(repo, "Pulumi.yaml"), "utf8"));
    await writeFile(path.join(dir, "Pulumi.drill.yaml"), text);
    await cp(path.join(repo, "services"), path.join(dir, "services"), { recursive: true });
    return readDrillConfig(dir, "drill", environment).then(
      () => "none",
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  }

  test("without any environment", async () => {
    const committed = await readFile(path.join(repo, "Pulumi.drill.yaml"), "utf8");
    expect(await problemsOf(`encryptionsalt: v1:x\n${committed.replace("vmId: 9200", "vmId: 99")}`, {})).toBe(
      [
        "Unable to use the configuration of stack drill: 4 problems.",
        "- Pulumi.drill.yaml:5: homelab:drill.vmId: 99 is not accepted. Expected: a VMID from 100 to 999999999.",
        "- environment: PROXMOX_VE_ENDPOINT: missing. Expected: https://<node>:8006/, without a path.",
        "- environment: PROXMOX_VE_API_TOKEN: missing. Expected: <user>@<realm>!<name>=<uuid>.",
        "- environment: PULUMI_CONFIG_PASSPHRASE: missing. Expected: the passphrase of the stack's secrets, or a file with it " +
          "in PULUMI_CONFIG_PASSPHRASE_FILE.",
      ].join("\n"),
    );
  });

  test("YAML that can't be read", async () => {
    expect(await problemsOf("config:\n  a: [1\n", {})).toBe(
      "Unable to use the configuration of stack drill: 1 problem.\n" +
        "- Pulumi.drill.yaml:3: Flow sequence in block collection must be sufficiently indented and end with a ]. " +
        "Correct the YAML.",
    );
  });
});
