/** Who may work on a stack: in one folder, with several at once. */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { type Claim, type ClaimArgs, claimStack } from "../../../cli/drill/claim";

const NOBODY = 2 ** 22 + 1;
const RUN = "20261120T120000Z-drill-abcdef";

let evidenceDir: string;
let file: string;
beforeEach(async () => {
  evidenceDir = await mkdtemp(join(tmpdir(), "homelab-claim-"));
  file = join(evidenceDir, ".drill-drill.json");
});
afterEach(async () => rm(evidenceDir, { recursive: true }));

const take = async (more: Partial<ClaimArgs> = {}): Promise<Claim> =>
  claimStack({ command: "drill", evidenceDir, stack: "drill", ...more });

/** What a process writes down that died, or that lives. */
function claimOf(pid: number, runs: string[] = []): string {
  const startedAt = pid === NOBODY ? "2026-11-20T02:00:00.000Z" : new Date().toISOString();
  return `${JSON.stringify({ pid, host: hostname(), startedAt, runs })}\n`;
}

/** The guard of whoever takes over a claim with this content. */
function guardOf(...dead: string[]): string {
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);
  return `${file}.${dead.reduce((name, text) => hash(name + text), "")}.taking`;
}

test.each([
  ["nobody had it", undefined],
  ["a killed command had it", claimOf(NOBODY, [RUN])],
])("of many at once one gets the stack where %s, and no other touches its claim", async (_, left) => {
  if (left !== undefined) await writeFile(file, left);
  const taken = await Promise.allSettled(Array.from({ length: 12 }, async () => take()));
  const winners = taken.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  expect(winners).toHaveLength(1);
  for (const one of taken) {
    if (one.status === "rejected")
      expect(String(one.reason)).toMatch(/^CliError: Unable to begin a drill of stack drill: /);
  }
  expect(winners[0]?.abandoned).toEqual(left === undefined ? [] : [RUN]);
  expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ pid: process.pid, runs: winners[0]?.abandoned });
  await expect(take()).rejects.toThrow(`process ${process.pid} on ${hostname()} works on it`);
  await winners[0]?.[Symbol.asyncDispose]();
  expect(await readdir(evidenceDir)).toEqual([]);
});

test("a file that can't be read may be somebody's for a minute", async () => {
  await writeFile(file, "");
  await expect(take()).rejects.toThrow(
    /its claim was written \d s ago and can't be read\. Wait for its end; if it is dead/,
  );
  expect(await readFile(file, "utf8")).toBe("");
  const past = Date.now() / 1000 - 61;
  await utimes(file, past, past);
  await (await take())[Symbol.asyncDispose]();
  expect(await readdir(evidenceDir)).toEqual([]);
});

test("while one takes a dead claim over nobody else does, and one that was killed then does not keep the next from it", async () => {
  const dead = claimOf(NOBODY, [RUN]);
  await writeFile(file, dead);
  const first = claimOf(process.pid);
  await writeFile(guardOf(dead), first);
  await expect(take()).rejects.toThrow("Unable to begin a drill of stack drill: another process has just begun.");
  expect(await readFile(file, "utf8")).toBe(dead);

  const killed = claimOf(NOBODY);
  await writeFile(guardOf(dead), killed);
  await writeFile(guardOf(dead, killed), killed);
  const claim = await take();
  expect(claim.abandoned).toEqual([RUN]);
  expect(await readdir(evidenceDir)).toEqual([".drill-drill.json"]);
  await claim[Symbol.asyncDispose]();
});

test("a claim that has become another's stays when this one is given up", async () => {
  const claim = await take();
  await claim.add(RUN);
  await writeFile(file, claimOf(process.pid));
  await claim[Symbol.asyncDispose]();
  expect(await readdir(evidenceDir)).toEqual([".drill-drill.json"]);
});

test("whoever has it only in passing leaves the next drill what a killed one was to remove", async () => {
  await writeFile(file, claimOf(NOBODY, [RUN]));
  const passing = await take({ inPassing: true });
  await expect(take({ inPassing: true })).rejects.toThrow(
    `Unable to work on stack drill: process ${process.pid} on ${hostname()} works on it since `,
  );
  await passing[Symbol.asyncDispose]();
  const next = await take();
  expect(next.abandoned).toEqual([RUN]);
  await next[Symbol.asyncDispose]();
  await (await take({ inPassing: true }))[Symbol.asyncDispose]();
  expect(await readdir(evidenceDir)).toEqual([]);
});
