/** Files that a killed Pulumi left torn. What the real one leaves and says: `test/crash/`. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { RunPulumi } from "../../../cli/drill/pulumi";
import { mendingStateFiles } from "../../../cli/drill/state-files";

let dir: string;
let told: string[];
let tried: string[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "homelab-state-"));
  told = [];
  tried = [];
});
afterEach(() => rm(dir, { recursive: true }));

async function file(name: string, content: string): Promise<string> {
  const path = join(dir, ".pulumi", name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return path;
}

/** A `pulumi` that can't do anything while this file is there and empty. */
function failingOn(path: string, error: string, url = `file://${dir}?no_tmp_dir=true`): RunPulumi {
  const pulumi: RunPulumi = async (args) => {
    tried.push(args.join(" "));
    if (args[0] === "whoami") return { code: 0, output: `{\n  "user": "root",\n  "url": "${url}"\n}` };
    const isTorn = existsSync(path) && (await readFile(path, "utf8")) === "";
    return isTorn ? { code: 255, output: `error: ${error}` } : { code: 0, output: "done" };
  };
  return mendingStateFiles(pulumi, { stack: "drill", projectDir: dir }, (line) => told.push(line));
}

const EOF = "failed to load checkpoint: EOF";

test("the torn sidecar of the stack's state is removed, and the same runs once more", async () => {
  const state = await file("stacks/homelab/drill.json", '{"version": 3}');
  const torn = await file("stacks/homelab/drill.json.attrs", "");
  const whole = await file("stacks/homelab/drill.json.bak.attrs", "{}");
  const other = await file("stacks/homelab/prod.json.attrs", "");
  expect(await failingOn(torn, EOF)(["stack", "export"])).toEqual({ code: 0, output: "done" });
  expect(tried).toEqual(["stack export", "whoami --json", "stack export"]);
  expect([state, torn, whole, other].map((path) => existsSync(path))).toEqual([true, false, true, true]);
  expect(told).toEqual([`A Pulumi that was killed had left ${torn} torn; it was removed.`]);
});

test("so is a lock that was never written, but not one that was", async () => {
  const torn = await file("locks/organization/homelab/drill/a.json.18f0.tmp", "");
  const whole = await file("locks/organization/homelab/drill/b.json.18f1.tmp", '{"pid": 1}');
  const other = await file("locks/organization/homelab/prod/c.json.18f2.tmp", "");
  await failingOn(torn, "unexpected end of JSON input")(["up"]);
  expect([torn, whole, other].map((path) => existsSync(path))).toEqual([false, true, true]);
});

test.each([
  ["another error", "no stack named 'drill' found", undefined, ["up"]],
  ["a state in a bucket", EOF, "s3://states", ["up", "whoami --json"]],
])("%s is given as it is", async (_, error, url, calls) => {
  const torn = await file("stacks/homelab/drill.json.attrs", "");
  expect(await failingOn(torn, error, url)(["up"])).toEqual({ code: 255, output: `error: ${error}` });
  expect([tried, existsSync(torn), told]).toEqual([calls, true, []]);
});

test("nothing is tried again where nothing is torn", async () => {
  const elsewhere = join(dir, "elsewhere");
  await writeFile(elsewhere, "");
  expect((await failingOn(elsewhere, EOF)(["up"])).code).toBe(255);
  expect(tried).toEqual(["up", "whoami --json"]);
});
