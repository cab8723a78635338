import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckSpec } from "../../provider/contract/checks";
import { evidenceSchema } from "../../provider/contract/evidence";
import { type RunRef, runMarker } from "../../provider/contract/run";
import { DRILL_CALLS } from "../../provider/drill-calls";
import { journalFile, readJournal } from "../../provider/journal";
import { createProvider, type StoppableProvider } from "../../provider/plugin";
import { DRILL_TOKENS } from "../../provider/tokens";
import { ARCHIVE, ARCHIVE_TIME, FakePve, NODE } from "./support/fake-pve";

type Bag = Record<string, unknown>;

const BOOT_ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const RESTORE_POINT = { archive: ARCHIVE, archiveTime: ARCHIVE_TIME, archiveBytes: 1000, notes: "docker" };

let pve: FakePve;
let provider: StoppableProvider;
let evidenceDir: string;

beforeEach(async () => {
  pve = new FakePve();
  pve.guest = healthyGuest;
  provider = createProvider({ client: pve.client(), containerWindowMs: 10 });
  evidenceDir = await mkdtemp(join(tmpdir(), "homelab-drills-"));
});
afterEach(async () => rm(evidenceDir, { recursive: true }));

/** What `docker inspect` prints when the container web is in this state and all others are well. */
function inspected(command: string[], web: string): string {
  const names = command.slice(command.indexOf("--format") + 2);
  const line = (name: string): string =>
    `/${name}\t${name === "web" ? web : "running\thealthy\t0"}\t137\t2026-11-20T02:00:00Z\n`;
  return names.map(line).join("");
}

function healthyGuest(command: string[]): { exitCode: number; stdout: string } {
  if (command[0] === "cat") return { exitCode: 0, stdout: `${BOOT_ID}\n` };
  if (command[0] === "curl") return { exitCode: 0, stdout: "<html>Sign in</html>\n200" };
  if (command[1] === "inspect") return { exitCode: 0, stdout: inspected(command, "running\thealthy\t0") };
  const query = command.at(-1) ?? "";
  const stamp = new Date((ARCHIVE_TIME - 30) * 1000).toISOString();
  return { exitCode: 0, stdout: query.includes("max(stamped_at)") ? `${stamp}\n` : "3\n" };
}

const urn = (token: string): string => `urn:pulumi:drill::homelab::${token}::x`;

async function create(token: string, inputs: Bag): Promise<{ id: string; outs: Bag }> {
  const checked = await provider.check?.(urn(token), {}, inputs);
  expect(checked?.failures).toEqual([]);
  const result = await provider.create?.(urn(token), inputs);
  if (result === undefined) throw new Error("The provider has no create.");
  return { id: result.id, outs: result.outs as Bag };
}

const leaseInputs = (): Bag => ({
  ...{ kind: "drill", stack: "drill", node: NODE, vmId: 9200, vmName: "drill-docker", sourceVmId: 200 },
  ...{ restorePoint: RESTORE_POINT, evidenceDir, rtoTargetSeconds: 600, rpoTargetSeconds: 7200, environmentNotes: [] },
});

const vmInputs = (run: unknown): Bag => ({
  ...{ run, restorePoint: RESTORE_POINT, sourceVmId: 200, storage: "local-lvm", isolatedBridge: "vmbr99" },
  ...{ memoryMiB: 1024, restoreTimeoutSeconds: 5 },
});

const WEB_CHECKS: CheckSpec[] = [
  { kind: "container", name: "container", container: "web", hasHealthCheck: true },
  {
    kind: "http",
    name: "sign-in",
    hostName: "rss.example.net",
    path: "/",
    expectStatus: 200,
    rootCertificatePem: "PEM",
  },
  { kind: "sql", name: "rows", container: "db", database: "d", user: "u", query: "SELECT 1", expect: { atLeast: 1 } },
];

/** A whole drill as the engine would run it; gives the state of each resource. */
async function drill(checks = WEB_CHECKS): Promise<{ run: RunRef; states: Map<string, Bag>; verdict: Promise<Bag> }> {
  const states = new Map<string, Bag>();
  const step = async (token: string, inputs: Bag): Promise<Bag> => {
    const { outs } = await create(token, inputs);
    states.set(token, outs);
    return outs;
  };
  const run = (await step(DRILL_TOKENS.lease, leaseInputs()))["run"] as RunRef;
  const vm = await step(DRILL_TOKENS.restoredVm, vmInputs(run));
  const boot = await step(DRILL_TOKENS.guestBoot, {
    ...{ run, restoreStatus: vm["status"], startTimeoutSeconds: 5, agentTimeoutSeconds: 1 },
  });
  const bootStatus = boot["status"];
  await step(DRILL_TOKENS.serviceCheck, {
    run,
    service: "web",
    bootStatus,
    checks,
    mandatory: true,
    timeoutSeconds: 2,
  });
  await step(DRILL_TOKENS.recoveryPoint, {
    ...{ run, bootStatus, bootId: boot["bootId"], archiveTime: ARCHIVE_TIME, reference: "2026-11-20T02:00:00.000Z" },
    ...{ container: "db", database: "d", user: "u", table: "canary", intervalSeconds: 60, skewSeconds: 5 },
    timeoutSeconds: 2,
  });
  const verdict = step(DRILL_TOKENS.verdict, { run, expectedServices: ["web"], expectRecoveryPoint: true });
  verdict.catch(() => undefined); // each test says itself what it expects
  await verdict.catch(() => undefined);
  return { run, states, verdict };
}

async function destroy(states: Map<string, Bag>): Promise<void> {
  for (const token of [...states.keys()].reverse()) await provider.delete?.("id", urn(token), states.get(token));
}

test("a drill passes, leaves evidence, calls only what is allowed, and destroy leaves nothing", async () => {
  pve.vms.set(200, { config: { name: "docker" }, status: "running" });
  const { run, states, verdict } = await drill();
  const outputs = await verdict;
  expect(outputs).toMatchObject({ verdict: "passed", rpoSeconds: 3630 });
  const evidence = evidenceSchema.parse(JSON.parse(await readFile(String(outputs["evidenceFile"]), "utf8")));
  expect(evidence.phases.map(({ phase, status }) => `${phase} ${status}`)).toEqual([
    "restore passed",
    "verify passed",
    "start passed",
    "agent passed",
    "checks passed",
  ]);
  expect(evidence.checks.map(({ name, status }) => `${name} ${status}`).sort()).toEqual([
    "container passed",
    "rows passed",
    "sign-in passed",
  ]);
  expect(evidence.phases.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(evidence.rto.seconds ?? 0, 3);

  const restore = pve.writes.find(({ call }) => call === "POST /nodes/pve/qemu")?.parameters;
  expect(Object.fromEntries(restore ?? [])).toEqual({
    ...{ vmid: "9200", archive: ARCHIVE, storage: "local-lvm", unique: "1", start: "0", name: "drill-docker" },
    ...{ onboot: "0", protection: "0", tags: "homelab-drill", memory: "1024", balloon: "1024" },
    description: `${runMarker(run.runId)}\nRestored from ${ARCHIVE} (VM 200).\n`,
    smbios1: `base64=1,manufacturer=SG9tZQ==,uuid=${run.vmUuid}`,
    net0: "model=virtio,bridge=vmbr99",
    net1: "model=e1000,bridge=vmbr99",
  });

  await destroy(states);
  expect([...pve.vms.keys()]).toEqual([200]);
  expect((await readJournal(run.runDir)).at(-1)?.type).toBe("removed");
  const templates = DRILL_CALLS.map(
    ({ method, path }) => `${method} ${path.replace("{node}", NODE).replace("{vmid}", "9200")}`,
  );
  expect(pve.writes.map(({ call }) => call).filter((call) => !templates.includes(call))).toEqual([]);
});

test("a standing drill is never taken up again: the refusal names run and verdict", async () => {
  const { run, verdict } = await drill();
  await verdict;
  const result = await provider.check?.(urn(DRILL_TOKENS.lease), leaseInputs(), leaseInputs());
  expect(result?.failures).toEqual([
    {
      property: "",
      reason: expect.stringContaining(`run ${run.runId} still stands and its verdict is passed`) as string,
    },
  ]);
});

test("a failed restore is recorded, everything else is skipped, and destroy removes the husk", async () => {
  pve.restoreExit = "got timeout reading VMA header - corrupted?";
  const { run, states, verdict } = await drill();
  await expect(verdict).rejects.toThrow(/its verdict is failed[\s\S]*phase restore failed: .*corrupted\?/);
  await expect(verdict).rejects.toMatchObject({
    id: `${run.runId}/verdict`,
    properties: { verdict: "failed", rtoSeconds: -1 },
  });
  const report = await readFile(join(run.runDir, "report.md"), "utf8");
  expect(report).toContain("| container | skipped | the restored VM did not boot |");
  expect(pve.vms.has(9200)).toBe(true);
  await destroy(states);
  expect(pve.vms.size).toBe(0);
});

test("a restore that does not end in time is a failure, and destroy stops its task first", async () => {
  pve.restoreHangs = true;
  const run = (await create(DRILL_TOKENS.lease, leaseInputs())).outs;
  const { outs } = await create(DRILL_TOKENS.restoredVm, { ...vmInputs(run["run"]), restoreTimeoutSeconds: 0.2 });
  expect(outs).toMatchObject({ status: "failed", reason: expect.stringContaining("had not ended after") as string });
  await provider.delete?.("id", urn(DRILL_TOKENS.restoredVm), outs);
  expect(pve.tasks.every((task) => !task.running)).toBe(true);
  expect(pve.vms.size).toBe(0);
});

test.each([
  ["whose restore task is recorded", /(?!)/],
  ["that crashed before it could record its restore task", /^.*restore-accepted.*\n/m],
])("destroy cleans up after a run %s, by the lease alone", async (_, lost) => {
  pve.restoreHangs = true;
  const { outs } = await create(DRILL_TOKENS.lease, leaseInputs());
  const run = outs["run"] as RunRef;
  await create(DRILL_TOKENS.restoredVm, { ...vmInputs(run), restoreTimeoutSeconds: 0.1 });
  const journal = journalFile(run.runDir);
  await writeFile(journal, (await readFile(journal, "utf8")).replace(lost, ""));
  await provider.delete?.("id", urn(DRILL_TOKENS.lease), outs);
  expect(pve.vms.size).toBe(0);
  expect((await readJournal(run.runDir)).slice(-2)).toMatchObject([
    { type: "run-ended", verdict: "aborted" },
    { type: "removed", detail: "VM 9200 on pve was removed with its disks (rest of a failed restore)" },
  ]);
});

test("an empty VM that no restore of the run made is left alone", async () => {
  const { outs } = await create(DRILL_TOKENS.lease, leaseInputs());
  pve.vms.set(9200, { config: { memory: "512" }, status: "stopped" });
  await provider.delete?.("id", urn(DRILL_TOKENS.lease), outs);
  expect(pve.vms.has(9200)).toBe(true);
});

test("a VM that is not isolated after the restore is never started", async () => {
  pve.afterRestore = (config) => (config["net1"] = "e1000=BC:24:11:00:00:02,bridge=vmbr0");
  const { verdict } = await drill();
  await expect(verdict).rejects.toThrow("net1 is on vmbr0, not vmbr99");
  expect(pve.writes.some(({ call }) => call.endsWith("/status/start"))).toBe(false);
});

test.each([
  ["a port", { bridge_ports: "eno2" }, "it has the port eno2"],
  ["an address", { cidr: "10.0.0.1/24" }, "it has the address 10.0.0.1/24"],
  ["no existence", { iface: "vmbr98" }, "it does not exist"],
])("a bridge with %s is refused before anything is restored", async (_, change, text) => {
  pve.interfaces = pve.interfaces.map((item) => (item["iface"] === "vmbr99" ? { ...item, ...change } : item));
  const { verdict } = await drill();
  await expect(verdict).rejects.toThrow(text);
  expect(pve.writes).toEqual([]);
});

test("an archive that is tied to the node's hardware is refused", async () => {
  pve.archiveConfig += "hostpci0: 0000:01:00\nusb0: host=1234:5678\nserial0: socket\n";
  const { verdict } = await drill();
  await expect(verdict).rejects.toThrow("tied to the node by hostpci0: 0000:01:00; usb0: host=1234:5678");
  expect(pve.writes).toEqual([]);
});

test("a guest that never answers ends in its time limit", async () => {
  pve.agentAnswers = false;
  const { verdict } = await drill();
  await expect(verdict).rejects.toThrow(
    "Unable to reach the guest agent of VM 9200 within 1 s: last seen: VM running; QEMU guest agent is not running",
  );
});

test("a container that stays stopped is named with its exit code", async () => {
  pve.guest = (command) =>
    command[1] === "inspect" ? { exitCode: 0, stdout: inspected(command, "exited\t\t0") } : healthyGuest(command);
  const { verdict } = await drill();
  await expect(verdict).rejects.toThrow(
    "web: container failed: not passed in time; last seen: container web is exited with exit code 137",
  );
});

test("a container that restarts or does not exist fails", async () => {
  let count = 0;
  pve.guest = (command) =>
    command[1] === "inspect"
      ? { exitCode: 0, stdout: inspected(command, `running\thealthy\t${command.includes("web") ? count++ : 0}`) }
      : healthyGuest(command);
  await expect((await drill()).verdict).rejects.toThrow("it restarted during the checks (restart count 0, then 1)");

  pve.vms.clear();
  pve.guest = (command) =>
    command[1] === "inspect"
      ? {
          exitCode: 1,
          stdout: inspected(command, "").replace(/^\/web.*\n/m, ""),
          stderr: "Error: No such container: web",
        }
      : healthyGuest(command);
  await expect((await drill()).verdict).rejects.toThrow("container web does not exist in the restored VM");
});

test("wrong data fails with what was seen and expected", async () => {
  pve.guest = (command) => (command.includes("psql") ? { exitCode: 0, stdout: "0\n" } : healthyGuest(command));
  await expect((await drill()).verdict).rejects.toThrow('web: rows failed: "0", expected at least 1');
});

test("a chain without a recorded root is skipped, which is no pass", async () => {
  const checks = WEB_CHECKS.map((check): CheckSpec => {
    return check.kind === "http" ? { ...check, rootCertificatePem: undefined } : check;
  });
  await expect((await drill(checks)).verdict).rejects.toThrow(
    "web: sign-in could not run: production has recorded no root",
  );
});

test("a run is refused when its VMID is taken, and leaves no journal", async () => {
  pve.vms.set(9200, { config: { name: "mine" }, status: "running" });
  await expect(create(DRILL_TOKENS.lease, leaseInputs())).rejects.toThrow('the VMID is taken by VM "mine" on pve');
});

test("destroy leaves another's VM alone, and refuses one whose proof was changed", async () => {
  const { outs } = await create(DRILL_TOKENS.lease, leaseInputs());
  const run = outs["run"] as RunRef;
  pve.vms.set(9200, { config: { name: "mine", scsi0: "local-lvm:vm-9200-disk-0" }, status: "running" });
  await provider.delete?.("id", urn(DRILL_TOKENS.lease), outs);
  expect(pve.vms.has(9200)).toBe(true);
  expect((await readJournal(run.runDir)).at(-1)).toMatchObject({
    type: "finding",
    text: expect.stringContaining("was left alone") as string,
  });

  pve.vms.set(9200, { config: { name: "renamed", description: runMarker(run.runId) }, status: "stopped" });
  await expect(provider.delete?.("id", urn(DRILL_TOKENS.lease), outs)).rejects.toThrow("carries part of the proof");
});

test("a run whose process died is closed as aborted by the next one", async () => {
  const { outs } = await create(DRILL_TOKENS.lease, leaseInputs());
  const { runDir } = outs["run"] as RunRef;
  const journal = join(runDir, "journal.ndjson");
  const deadPid = 2 ** 22 - 1;
  await writeFile(journal, (await readFile(journal, "utf8")).replace(`"pid":${process.pid}`, `"pid":${deadPid}`));
  await create(DRILL_TOKENS.lease, leaseInputs());
  expect((await readJournal(runDir)).at(-1)).toMatchObject({ type: "run-ended", verdict: "aborted" });
  expect(JSON.parse(await readFile(join(runDir, "drill.json"), "utf8"))).toMatchObject({ verdict: "aborted" });
});

test("cancelling ends the wait at once and records what was made; the journal keeps its open end", async () => {
  pve.restoreHangs = true;
  const { outs } = await create(DRILL_TOKENS.lease, leaseInputs());
  const run = outs["run"] as RunRef;
  const restoring = provider.create?.(urn(DRILL_TOKENS.restoredVm), { ...vmInputs(run), restoreTimeoutSeconds: 600 });
  const outcome = expect(restoring).rejects.toMatchObject({ id: "pve/9200", properties: { created: true } });
  while (!pve.tasks.some(({ running }) => running)) await new Promise((resolve) => setImmediate(resolve));
  await provider.cancel?.();
  await outcome;
  expect((await readJournal(run.runDir)).map(({ type }) => type)).not.toContain("run-ended");
});
