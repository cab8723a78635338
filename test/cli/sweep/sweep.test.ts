/** What a sweep removes, on the lab's API without machines: each case reads afterwards what stands in Proxmox. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { claimStack } from "../../../cli/drill/claim";
import type { PulumiResult, RunPulumi } from "../../../cli/drill/pulumi";
import { sweep, sweepBefore, type Swept } from "../../../cli/sweep/sweep";
import { DRILL_TAG, expiryMarker, runMarker } from "../../../provider/contract/run";
import { appendEvent, journalFile, readJournal } from "../../../provider/journal";
import { ApiLab, TOKEN } from "../../lab/api-lab";

const LIMITED = "ops@pve!limited=22222222-2222-3333-4444-555555555555";
const RUN = "20261120T120000Z-drill-abcdef";
const UUID = "11111111-2222-4333-8444-555555555555";
const NOW = new Date("2026-11-21T13:00:00Z");
const PAST = "2026-11-21T12:00:00.000Z";
const FUTURE = "2026-11-21T13:00:01.000Z";
const NOBODY = 2 ** 22 + 1;
const BY_HAND = "Make sure that nobody needs the VM and remove it by hand (qm stop 9200, qm destroy 9200).";

let evidence: string;
let api: ApiLab;
let commands: string[];
/** What is told on the way. */
let lines: string[];
/** What the stack's state says. */
let state: PulumiResult;
let destroyed: PulumiResult;
beforeEach(async () => {
  evidence = await mkdtemp(path.join(tmpdir(), "homelab-sweep-"));
  api = await ApiLab.start({ apiTokens: [TOKEN, LIMITED] });
  commands = [];
  lines = [];
  state = { code: 6, output: "error: no stack named 'drill' found" };
  destroyed = { code: 0, output: "" };
  onDestroy = async () => undefined;
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
  await rm(evidence, { recursive: true });
});

let onCancel = (): unknown => undefined;
let onDestroy = async (): Promise<unknown> => undefined;
const pulumi: RunPulumi = async (args) => {
  commands.push(args.join(" "));
  if (args[0] === "cancel") {
    onCancel();
    return { code: 0, output: "" };
  }
  if (args[0] === "destroy") await onDestroy();
  return args[0] === "stack" ? state : destroyed;
};

interface Planted {
  readonly vmId?: number;
  readonly name?: string;
  readonly uuid?: string;
  /** Lines of the description. */
  readonly marks?: readonly string[];
  readonly more?: Readonly<Record<string, string>>;
}

/** A VM as a drill leaves it, but for what is said. */
async function plant({ vmId = 9200, name = "docker-drill", uuid = UUID, marks, more }: Planted = {}): Promise<void> {
  const disk = await api.lab.volumes.allocateDisk("local-lvm", vmId, 2 ** 20);
  const description = [...(marks ?? [runMarker(RUN), expiryMarker(PAST)]), "Restored from an archive."].join("\n");
  const current = { name, description, tags: DRILL_TAG, smbios1: `uuid=${uuid}`, scsi0: `${disk},size=1M`, ...more };
  api.lab.guests.write(vmId, { current });
}

interface Told {
  readonly runId?: string;
  readonly stack?: string;
  readonly vmId?: number;
  readonly pid?: number;
  readonly host?: string;
  readonly hasEnd?: boolean;
}

/** The journal of the run. */
async function tell({
  runId = RUN,
  stack = "drill",
  vmId = 9200,
  pid = NOBODY,
  host = hostname(),
  hasEnd = true,
}: Told = {}): Promise<string> {
  const runDir = path.join(evidence, runId);
  const restorePoint = { archive: "nas:backup/x", archiveTime: 1, archiveBytes: 1, notes: "" };
  await appendEvent(
    { runId, runDir },
    {
      ...{
        type: "run-started",
        kind: "drill",
        stack,
        node: "pve",
        vmId,
        vmName: "docker-drill",
        vmUuid: UUID,
      },
      ...{ sourceVmId: 200, restorePoint, rtoTargetSeconds: 1, rpoTargetSeconds: 1, environmentNotes: [], pid, host },
    },
  );
  if (hasEnd) await appendEvent({ runId, runDir }, { type: "run-ended", verdict: "passed", reasons: [] });
  return runDir;
}

async function swept({
  dryRun = false,
  token = TOKEN,
  stopSeconds = 10,
  claimed = "",
  client = api.client(token),
} = {}): Promise<Swept[]> {
  const config = {
    drill: { vmId: 9200 },
    files: { evidence },
    timeouts: { stopSeconds, removeSeconds: 10 },
  } as unknown as Parameters<typeof sweep>[0]["config"];
  const signal = new AbortController().signal;
  return sweep({
    config,
    client,
    pulumi,
    tell: (line) => lines.push(line),
    dryRun,
    claimed,
    signal,
    now: NOW,
  });
}

/** Calls that may change something. */
async function writes(): Promise<string[]> {
  const lines = (await readFile(api.requestLog, "utf8")).trimEnd().split("\n");
  const calls = lines.map((line) => JSON.parse(line) as { method: string; path: string });
  return calls.filter(({ method }) => method !== "GET").map((call) => `${call.method} ${call.path}`);
}

test("an expired one goes with its disks, running or not, and its journal says so", async () => {
  const runDir = await tell();
  await plant();
  api.lab.guests.write(200, { current: { name: "docker" } });
  await api.machines.start(9200, {});
  expect(await swept()).toEqual([
    { outcome: "removed", text: `VM 9200 (docker-drill) on pve: removed: run ${RUN} expired at 2026-11-21T12:00:00Z` },
  ]);
  expect(api.lab.guests.list()).toEqual([200]);
  expect(await api.lab.volumes.images()).toEqual([]);
  expect((await readJournal(runDir)).at(-1)).toMatchObject({
    type: "removed",
    detail: "VM 9200 on pve was removed with its disks; swept, because it had expired",
  });
  expect(commands).toEqual(["stack export -s drill"]);
  expect(await swept()).toEqual([]);
});

test("a dry look says the same and changes nothing", async () => {
  await tell();
  await plant();
  expect(await swept({ dryRun: true })).toEqual([
    {
      outcome: "removed",
      text: `VM 9200 (docker-drill) on pve: would be removed: run ${RUN} expired at 2026-11-21T12:00:00Z`,
    },
  ]);
  expect(await writes()).toEqual([]);
  expect(commands).toEqual([]);
});

const MARKS = [runMarker(RUN), expiryMarker(PAST)];
test.each<[string, Planted, Told | undefined, Swept["outcome"], string]>([
  [
    "is not expired",
    { marks: [runMarker(RUN), expiryMarker(FUTURE)] },
    {},
    "kept",
    `kept: run ${RUN} expires at 2026-11-21T13:00:01Z`,
  ],
  [
    "has an older mark, without an expiry",
    { marks: [runMarker(RUN)] },
    {},
    "kept",
    `kept: the mark of run ${RUN} names no expiry; pulumi destroy removes it`,
  ],
  [
    "is not marked: a foreign VM that took the VMID",
    { name: "media", marks: [] },
    {},
    "kept",
    "it has the VMID of drills, but no mark of one; left alone",
  ],
  [
    "is production, half restored",
    { marks: [runMarker("20261120T120000Z-emergency-abcdef"), expiryMarker(PAST)] },
    {},
    "kept",
    "kept: run 20261120T120000Z-emergency-abcdef brings production back, which no sweep removes",
  ],
  [
    "belongs to a run that is alive",
    {},
    { pid: process.pid, hasEnd: false },
    "kept",
    `kept: run ${RUN} expired at 2026-11-21T12:00:00Z, but its process ${process.pid} still runs`,
  ],
  [
    "belongs to a run of another computer that has no end",
    {},
    { host: "elsewhere", hasEnd: false },
    "stuck",
    `left alone: run ${RUN} expired at 2026-11-21T12:00:00Z, but the run began on computer elsewhere and has no end, so it may go on there. Sweep on that computer.`,
  ],
  [
    "has another UUID",
    { uuid: "99999999-2222-4333-8444-555555555555" },
    {},
    "stuck",
    `left alone: run ${RUN} expired at 2026-11-21T12:00:00Z, but its UUID is not the run's, so it is not proved to be the run's. ${BY_HAND}`,
  ],
  [
    "has another name",
    { name: "mine-now" },
    {},
    "stuck",
    `left alone: run ${RUN} expired at 2026-11-21T12:00:00Z, but its name is "mine-now" and not "docker-drill", so it is not proved to be the run's. ${BY_HAND}`,
  ],
  [
    "has no journal here",
    {},
    undefined,
    "stuck",
    `left alone: run ${RUN} expired at 2026-11-21T12:00:00Z, but its journal is not here, so nothing proves that the VM is the run's. Sweep where JOURNAL is, or put it back. ${BY_HAND}`,
  ],
  [
    "is a copy, under another VMID",
    { vmId: 9300 },
    {},
    "stuck",
    `left alone: run ${RUN} expired at 2026-11-21T12:00:00Z, but its VM was 9200, so this is a copy at most. ${BY_HAND.replaceAll("9200", "9300")}`,
  ],
  [
    "carries a mark that names a path",
    { marks: ["homelab-run=../../etc", expiryMarker(PAST)] },
    {},
    "kept",
    "it has the VMID of drills, but no mark of one; left alone",
  ],
])("one is left alone that %s", async (_, planted, told, outcome, text) => {
  if (told !== undefined) await tell(told);
  await plant(planted);
  const vmId = planted.vmId ?? 9200;
  const expected = text.replace("JOURNAL", journalFile(path.join(evidence, RUN)));
  expect(await swept()).toEqual([
    { outcome, text: `VM ${vmId} (${planted.name ?? "docker-drill"}) on pve: ${expected}` },
  ]);
  expect(api.lab.guests.list()).toEqual([vmId]);
  expect(await writes()).toEqual([]);
});

test("a run that died without a verdict is closed as aborted when its VM goes", async () => {
  const runDir = await tell({ hasEnd: false });
  await plant();
  expect(await swept()).toMatchObject([{ outcome: "removed" }]);
  expect((await readJournal(runDir)).slice(-2)).toMatchObject([
    {
      type: "run-ended",
      verdict: "aborted",
      reasons: ["its VM expired before the run had a verdict, and was swept away"],
    },
    { type: "removed" },
  ]);
  expect(JSON.parse(await readFile(path.join(runDir, "drill.json"), "utf8"))).toMatchObject({ verdict: "aborted" });
});

test("one that can't be removed is told, and the others go all the same", async () => {
  await tell();
  const other = "20261120T120001Z-drill-abcdef";
  await tell({ runId: other, vmId: 9300 });
  await plant({ more: { lock: "backup" } });
  await plant({ vmId: 9300, marks: [runMarker(other), expiryMarker(PAST)] });
  expect(await swept()).toEqual([
    {
      outcome: "stuck",
      text:
        `VM 9200 (docker-drill) on pve: not removed: run ${RUN} expired at 2026-11-21T12:00:00Z. Unable to remove VM 9200 on pve: ` +
        'it is locked (backup). Wait if a task works on it; if none does, as after a crash of the node, run "qm unlock 9200" on pve. ' +
        "Then run pulumi destroy again.",
    },
    {
      outcome: "removed",
      text: `VM 9300 (docker-drill) on pve: removed: run ${other} expired at 2026-11-21T12:00:00Z`,
    },
  ]);
  expect(api.lab.guests.list()).toEqual([9200]);
});

test("one that does not end in the configured time is told", async () => {
  await tell();
  await plant();
  await api.machines.start(9200, {});
  let release = (): void => undefined;
  api.machines.stop = async () => new Promise<void>((done) => (release = done));
  const [first] = await swept({ stopSeconds: 1 });
  release();
  expect(first).toMatchObject({ outcome: "stuck", text: expect.stringContaining("had not ended after 1 s") as string });
  expect(api.lab.guests.list()).toEqual([9200]);
});

describe("the stack that made it", () => {
  const standing = (runId: string): PulumiResult => {
    const lease = { type: "homelab:drill:Lease", outputs: { run: { runId, runDir: path.join(evidence, runId) } } };
    return { code: 0, output: JSON.stringify({ deployment: { resources: [lease] } }, undefined, 2) };
  };

  test("is emptied, so that its next drill can begin", async () => {
    await tell();
    await plant();
    state = standing(RUN);
    expect(await swept()).toMatchObject([{ outcome: "removed" }]);
    expect(commands).toEqual(["stack export -s drill", "destroy -s drill --yes --skip-preview"]);
  });

  test("is the one of the journal, whichever stack is swept for", async () => {
    await tell({ stack: "drill-two" });
    await plant();
    state = standing(RUN);
    expect(await swept()).toMatchObject([{ outcome: "removed" }]);
    expect(commands).toEqual(["stack export -s drill-two", "destroy -s drill-two --yes --skip-preview"]);
  });

  test("is not touched while a drill of it runs, which has it claimed", async () => {
    await tell();
    await plant();
    state = standing(RUN);
    const drill = await claimStack({ command: "drill", evidenceDir: evidence, stack: "drill" });
    expect(await swept()).toMatchObject([
      {
        outcome: "stuck",
        text: expect.stringContaining(
          "expired at 2026-11-21T12:00:00Z. Unable to work on stack drill: process " +
            `${process.pid} on ${hostname()} works on it since `,
        ) as string,
      },
    ]);
    expect(await writes()).toEqual([]);
    expect(commands).toEqual([]);
    expect(await swept({ claimed: "drill" })).toMatchObject([{ outcome: "removed" }]);
    await drill[Symbol.asyncDispose]();
    expect((await readdir(evidence)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("is claimed while its VM goes, and what a killed drill of it was to remove stays taken down", async () => {
    await tell();
    await plant();
    state = standing(RUN);
    const file = path.join(evidence, ".drill-drill.json");
    const dead = { pid: NOBODY, host: hostname(), startedAt: PAST, runs: ["20261121T110000Z-drill-000000"] };
    await writeFile(file, JSON.stringify(dead));
    const held: unknown[] = [];
    onDestroy = async () => held.push(JSON.parse(await readFile(file, "utf8")));
    expect(await swept()).toMatchObject([{ outcome: "removed" }]);
    expect(held).toMatchObject([{ pid: process.pid, runs: dead.runs }]);
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual(dead);
  });

  test("and its VM are left alone when a drill has put another there before the claim", async () => {
    await tell();
    await plant();
    const next = "20261121T123000Z-drill-abcdef";
    let looks = 0;
    const client = api.client();
    const get = client.get.bind(client);
    jest.spyOn(client, "get").mockImplementation(async (...call) => {
      if (call[0].endsWith("/qemu/9200/config") && ++looks === 2) {
        await plant({ marks: [runMarker(next), expiryMarker(FUTURE)] });
      }
      return get(...call);
    });
    expect(await swept({ client })).toEqual([
      {
        outcome: "kept",
        text: `VM 9200 (docker-drill) on pve: left alone: run ${RUN} expired at 2026-11-21T12:00:00Z, but it has gone meanwhile`,
      },
    ]);
    expect(api.lab.guests.list()).toEqual([9200]);
    expect(await writes()).toEqual([]);
  });

  test("is left alone when another run stands in it", async () => {
    await tell();
    await plant();
    state = standing("20261121T120000Z-drill-000000");
    expect(await swept()).toMatchObject([{ outcome: "removed" }]);
    expect(commands).toEqual(["stack export -s drill"]);
  });

  test("has its own lock cleared, and no other's, when the process that held it is dead", async () => {
    await tell();
    await plant();
    const at = new Date().toISOString();
    const lock = `created by me@${hostname()} (pid ${NOBODY}) at ${at}`;
    const locked = { code: 255, output: `error: the stack is currently locked by 1 lock(s). ${lock}` };
    state = standing(RUN);
    destroyed = locked;
    onCancel = () => (destroyed = { code: 0, output: "" });
    expect(await swept()).toMatchObject([{ outcome: "removed" }]);
    const destroy = "destroy -s drill --yes --skip-preview";
    expect(commands).toEqual(["stack export -s drill", destroy, "cancel -s drill --yes", destroy]);
    expect(lines).toEqual([expect.stringContaining("Stack drill was locked by process") as string]);
  });

  test("is named when it can't be emptied", async () => {
    await tell();
    await plant();
    state = standing(RUN);
    destroyed = { code: 255, output: "error: incorrect passphrase" };
    expect(await swept()).toEqual([
      {
        outcome: "stuck",
        text:
          `VM 9200 (docker-drill) on pve: removed: run ${RUN} expired at 2026-11-21T12:00:00Z. Stack drill still names it, ` +
          "and that can't be mended now: incorrect passphrase\nRemove the cause and run pulumi destroy -s drill.",
      },
    ]);
    expect(api.lab.guests.list()).toEqual([]);
  });
});

test("a token that can't see every VM proves nothing about the rest", async () => {
  await tell();
  await plant();
  expect(await swept({ token: LIMITED })).toEqual([
    {
      outcome: "stuck",
      text:
        "Unable to see every VM: the token lacks VM.Audit on /vms, so expired ones may be left there. " +
        "Use the drill's token (npm run homelab -- roles).",
    },
  ]);
});

test("before a drill only what matters is told, and no failure keeps it from beginning", async () => {
  await tell();
  await plant({ marks: [runMarker(RUN), expiryMarker(FUTURE)] });
  const client = api.client();
  const config = { drill: { vmId: 9200 }, files: { evidence }, timeouts: { stopSeconds: 10, removeSeconds: 10 } };
  const tellLine = (line: string): void => void lines.push(line);
  const args = { config: config as never, pulumi, tell: tellLine, signal: new AbortController().signal, now: NOW };
  await sweepBefore({ ...args, client });
  expect(lines).toEqual([]);
  await plant({ marks: MARKS });
  await writeFile(journalFile(path.join(evidence, RUN)), "torn\n\n");
  await sweepBefore({ ...args, client });
  expect(lines).toEqual([
    expect.stringMatching(/^VM 9200 \(docker-drill\) on pve: left alone: .*it is no journal event/),
  ]);
  await sweepBefore({ ...args, client: api.client(TOKEN.replace("1111", "0000")) });
  expect(lines[1]).toMatch(/^Unable to look for expired VMs of earlier drills: Unable to GET /);
});
