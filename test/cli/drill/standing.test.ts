/** A stack that an earlier command left standing or locked, or that can't be read. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import type { RunPulumi } from "../../../cli/drill/pulumi";
import { DrillCommand, NOBODY, OK, stateWith } from "./drill-command";

let fake: DrillCommand;
beforeEach(async () => {
  fake = await DrillCommand.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

describe("a drill that stands", () => {
  const STANDS =
    "Unable to begin a drill: one stands in stack drill. Run pulumi destroy -s drill when nobody needs it any more.";
  const runs = async (): Promise<string[]> =>
    (await readdir(fake.config.files.evidence)).filter((name) => /^\d/.test(name));

  test("with a verdict is left alone", async () => {
    await fake.leaves("kept", "failed", { pid: NOBODY });
    await expect(fake.run()).rejects.toThrow(STANDS);
    expect(fake.commands).toEqual([]);
  });

  test("whose process runs is left alone", async () => {
    await fake.leaves("running", "killed");
    await expect(fake.run()).rejects.toThrow(STANDS);
  });

  test("whose journal is missing is left alone", async () => {
    fake.standing = { runId: "20261120T020000Z-drill-aaaaaa", runDir: path.join(fake.config.files.evidence, "gone") };
    await expect(fake.run()).rejects.toThrow(STANDS);
  });

  test("and was killed is closed as aborted and removed, and the drill runs", async () => {
    await fake.leaves("killed", "killed", { pid: NOBODY });
    const [dead = ""] = await runs();
    expect(await fake.run()).toBe(0);
    expect(fake.commands).toEqual(["destroy configured", "up configured", "destroy configured"]);
    expect(fake.lines).toContain(`Run ${dead} had died without a verdict and was closed as aborted.`);
    expect(fake.lines).toContain(`Run ${dead} stands, but its process ${NOBODY} died without a verdict; removing it.`);
    const evidence = await readFile(path.join(fake.config.files.evidence, dead, "drill.json"), "utf8");
    expect(JSON.parse(evidence)).toMatchObject({ verdict: "aborted" });
  });

  test("and whose destroy was cut off is removed", async () => {
    await fake.leaves("half", "passed", { pid: NOBODY });
    fake.standingTypes = [];
    expect(await fake.run()).toBe(0);
    expect(fake.commands).toEqual(["destroy configured", "up configured", "destroy configured"]);
  });

  test("and was to be removed by a homelab drill that was killed is removed; a live one is waited for", async () => {
    await fake.leaves("abandoned", "passed", { pid: NOBODY });
    const claim = { pid: NOBODY, host: hostname(), startedAt: "2026-11-20T02:00:00.000Z", runs: await runs() };
    const file = path.join(fake.config.files.evidence, ".drill-drill.json");
    await writeFile(file, JSON.stringify({ ...claim, pid: process.pid, startedAt: new Date().toISOString() }));
    await expect(fake.run()).rejects.toThrow(
      new RegExp(
        `^Unable to begin a drill of stack drill: process ${process.pid} on \\S+ works on it since \\S+\\. ` +
          `Wait for its end; if it is dead, delete ${file} and try again\\.$`,
      ),
    );
    expect(fake.commands).toEqual([]);
    await writeFile(file, JSON.stringify(claim));
    await writeFile(`${file}.76e92558.tmp`, "");
    expect(await fake.run()).toBe(0);
    expect(fake.commands).toEqual(["destroy configured", "up configured", "destroy configured"]);
    expect((await readdir(fake.config.files.evidence)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("and can't be removed stops the command", async () => {
    await fake.leaves("killed", "killed", { pid: NOBODY });
    fake.destroyResult = { code: 1, output: "error: Unable to remove VM 9200 on pve: it is locked (backup)." };
    await expect(fake.run()).rejects.toThrow(
      "Unable to begin a drill: an earlier one of stack drill was killed, and pulumi can't remove what it left: " +
        "Unable to remove VM 9200 on pve: it is locked (backup).\nRemove the cause and run pulumi destroy -s drill.",
    );
    expect(fake.commands).toEqual(["destroy configured"]);
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
      if (command === "stack" || !isLocked) return command === "cancel" ? OK : fake.pulumi(args, options);
      const lines = holders.map((holder) => `  file:///state/x.json: created by ${holder}`);
      const text = `the stack is currently locked by ${holders.length} lock(s). Either wait or cancel.`;
      return { code: 1, output: [`error: ${text}`, ...lines].join("\n") };
    };
    const code = fake.run({ pulumi: locked });
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
    expect(fake.lines).toContain(
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
  await expect(fake.run({ pulumi: unreadable })).rejects.toThrow(
    "Unable to begin a drill: the state of stack drill can't be read: unable to open bucket: no such host. " +
      "Make the stack with pulumi stack init drill, or log in to the backend that has it.",
  );
});

test("a stack that does not exist", async () => {
  const missing: RunPulumi = async () => ({ code: 6, output: "error: no stack named 'drill' found" });
  await expect(fake.run({ pulumi: missing })).rejects.toThrow(
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
  await expect(fake.run({ pulumi: locked })).rejects.toThrow(
    "Unable to use stack drill: another update holds it (of me@desk (pid 1) at 2026-11-20T02:00:00Z). " +
      "Wait for its end; if it died, release the stack with pulumi cancel -s drill.",
  );
  expect(tried).toEqual(["stack", "stack", "up"]);
  expect(await readdir(fake.config.files.evidence)).toHaveLength(1);
});
