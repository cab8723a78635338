import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CheckSpec } from "../../provider/contract/checks";
import { evidenceSchema } from "../../provider/contract/evidence";
import { type RunRef, runMarker } from "../../provider/contract/run";
import { DRILL_CALLS } from "../../provider/drill-calls";
import { readJournal } from "../../provider/journal";
import { DRILL_TOKENS } from "../../provider/tokens";
import { FakeDrill, healthyGuest, inspected, urn, WEB_CHECKS } from "./support/fake-drill";
import { ARCHIVE, NODE } from "./support/fake-pve";

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

test("a drill passes, leaves evidence, calls only what is allowed, and destroy leaves nothing", async () => {
  fake.pve.vms.set(200, { config: { name: "docker" }, status: "running" });
  const { run, states, verdict } = await fake.drill();
  const outputs = await verdict;
  expect(outputs).toMatchObject({ verdict: "passed", rpoSeconds: 3630 });
  const evidence = evidenceSchema.parse(JSON.parse(await readFile(String(outputs["evidenceFile"]), "utf8")));
  expect(evidence.phases.map(({ phase, status }) => `${phase} ${status}`)).toEqual([
    "restore passed",
    "verify passed",
    "start passed",
    "agent passed",
    "isolation passed",
    "checks passed",
  ]);
  expect(evidence.checks.map(({ name, status }) => `${name} ${status}`).sort()).toEqual([
    "container passed",
    "rows passed",
    "sign-in passed",
  ]);
  expect(evidence.phases.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(evidence.rto.seconds ?? 0, 3);

  const [empty, restore, ...others] = fake.pve.writes.filter(({ call }) => call === "POST /nodes/pve/qemu");
  expect(others).toEqual([]);
  const identity = {
    ...{ vmid: "9200", name: "drill-docker", pool: "homelab-drill" },
    description: `${runMarker(run.runId)}\nRestored from ${ARCHIVE} (VM 200).\n`,
    smbios1: `base64=1,manufacturer=SG9tZQ==,uuid=${run.vmUuid}`,
  };
  // First the VM that the token has rights on from its pool, then the archive into it.
  expect(Object.fromEntries(empty?.parameters ?? [])).toEqual(identity);
  expect(Object.fromEntries(restore?.parameters ?? [])).toEqual({
    ...identity,
    ...{ archive: ARCHIVE, storage: "local-lvm", unique: "1", start: "0", force: "1" },
    ...{ onboot: "0", protection: "0", tags: "homelab-drill", memory: "1024", balloon: "1024" },
    net0: "model=virtio,bridge=vmbr99",
    net1: "model=e1000,bridge=vmbr99",
  });

  await fake.destroy(states);
  expect([...fake.pve.vms.keys()]).toEqual([200]);
  expect((await readJournal(run.runDir)).at(-1)?.type).toBe("removed");
  const templates = DRILL_CALLS.map(
    ({ method, path }) => `${method} ${path.replace("{node}", NODE).replace("{vmid}", "9200")}`,
  );
  expect(fake.pve.writes.map(({ call }) => call).filter((call) => !templates.includes(call))).toEqual([]);
});

test.each([
  [0, 0],
  [3600, 3600],
  [-7, -7],
])("a node whose clock differs by %s s dates the start from which the RPO counts", async (offset, seen) => {
  fake.pve.clockOffsetSeconds = offset;
  const { outs, run } = await fake.lease();
  const difference = Date.parse(String(outs["startedAtNode"])) - Date.parse(String(outs["startedAt"]));
  expect(difference / 1000).toBe(seen);
  expect((await readJournal(run.runDir))[0]).toMatchObject({ type: "run-started", clockOffsetSeconds: seen });
});

test("a standing drill is never taken up again: the refusal names run and verdict", async () => {
  const { run, verdict } = await fake.drill();
  await verdict;
  const result = await fake.provider.check?.(urn(DRILL_TOKENS.lease), fake.leaseInputs(), fake.leaseInputs());
  expect(result?.failures).toEqual([
    {
      property: "",
      reason: expect.stringContaining(`run ${run.runId} still stands and its verdict is passed`) as string,
    },
  ]);
});

test("a failed restore is recorded, everything else is skipped, and destroy removes the husk", async () => {
  fake.pve.restoreExit = "got timeout reading VMA header - corrupted?";
  const { run, states, verdict } = await fake.drill();
  await expect(verdict).rejects.toThrow(/its verdict is failed[\s\S]*phase restore failed: .*corrupted\?/);
  await expect(verdict).rejects.toMatchObject({
    id: `${run.runId}/verdict`,
    properties: { verdict: "failed", rtoSeconds: -1 },
  });
  const report = await readFile(join(run.runDir, "report.md"), "utf8");
  expect(report).toContain("| container | skipped | the restored VM did not boot or is not shown to be isolated |");
  expect(fake.pve.vms.has(9200)).toBe(true);
  await fake.destroy(states);
  expect(fake.pve.vms.size).toBe(0);
});

test("a restore that does not end in time is a failure, and destroy stops its task first", async () => {
  fake.pve.restoreHangs = true;
  const run = (await fake.create(DRILL_TOKENS.lease, fake.leaseInputs())).outs;
  const { outs } = await fake.create(DRILL_TOKENS.restoredVm, {
    ...fake.vmInputs(run["run"]),
    restoreTimeoutSeconds: 0.2,
  });
  expect(outs).toMatchObject({ status: "failed", reason: expect.stringContaining("had not ended after") as string });
  await fake.provider.delete?.("id", urn(DRILL_TOKENS.restoredVm), outs);
  expect(fake.pve.tasks.every((task) => !task.running)).toBe(true);
  expect(fake.pve.vms.size).toBe(0);
});

test("a VM that is not isolated after the restore is never started", async () => {
  fake.pve.afterRestore = (config) => (config["net1"] = "e1000=BC:24:11:00:00:02,bridge=vmbr0");
  const { verdict } = await fake.drill();
  await expect(verdict).rejects.toThrow("net1 is on vmbr0, not vmbr99");
  expect(fake.pve.writes.some(({ call }) => call.endsWith("/status/start"))).toBe(false);
});

test("an archive that is tied to the node's hardware is refused", async () => {
  fake.pve.archiveConfig += "hostpci0: 0000:01:00\nusb0: host=1234:5678\nserial0: socket\n";
  const { verdict } = await fake.drill();
  await expect(verdict).rejects.toThrow("tied to the node by hostpci0: 0000:01:00; usb0: host=1234:5678");
  expect(fake.pve.writes).toEqual([]);
});

test("a guest that never answers ends in its time limit", async () => {
  fake.pve.agentAnswers = false;
  const { verdict } = await fake.drill();
  await expect(verdict).rejects.toThrow(
    "Unable to reach the guest agent of VM 9200 within 1 s: last seen: VM running; QEMU guest agent is not running",
  );
});

test("a container that stays stopped is named with its exit code", async () => {
  fake.pve.guest = (command) =>
    command[1] === "inspect" ? { exitCode: 0, stdout: inspected(command, "exited\t\t0") } : healthyGuest(command);
  const { verdict } = await fake.drill();
  await expect(verdict).rejects.toThrow(
    "web: container failed: not passed in time; last seen: container web is exited with exit code 137",
  );
});

test("a container that restarts or does not exist fails", async () => {
  let count = 0;
  fake.pve.guest = (command) =>
    command[1] === "inspect"
      ? { exitCode: 0, stdout: inspected(command, `running\thealthy\t${command.includes("web") ? count++ : 0}`) }
      : healthyGuest(command);
  await expect((await fake.drill()).verdict).rejects.toThrow(
    "it restarted during the checks (restart count 0, then 1)",
  );

  fake.pve.vms.clear();
  fake.pve.guest = (command) =>
    command[1] === "inspect"
      ? {
          exitCode: 1,
          stdout: inspected(command, "").replace(/^\/web.*\n/m, ""),
          stderr: "Error: No such container: web",
        }
      : healthyGuest(command);
  await expect((await fake.drill()).verdict).rejects.toThrow("container web does not exist in the restored VM");
});

test("wrong data fails with what was seen and expected", async () => {
  fake.pve.guest = (command) => (command.includes("psql") ? { exitCode: 0, stdout: "0\n" } : healthyGuest(command));
  await expect((await fake.drill()).verdict).rejects.toThrow('web: rows failed: "0", expected at least 1');
});

test("a chain without a recorded root is skipped, which is no pass", async () => {
  const checks = WEB_CHECKS.map((check): CheckSpec => {
    return check.kind === "http" ? { ...check, rootCertificatePem: undefined } : check;
  });
  await expect((await fake.drill(checks)).verdict).rejects.toThrow(
    "web: sign-in could not run: production has recorded no root",
  );
});

test("cancelling ends the wait at once and records what was made; the journal keeps its open end", async () => {
  fake.pve.restoreHangs = true;
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.leaseInputs());
  const run = outs["run"] as RunRef;
  const restoring = fake.provider.create?.(urn(DRILL_TOKENS.restoredVm), {
    ...fake.vmInputs(run),
    restoreTimeoutSeconds: 600,
  });
  const outcome = expect(restoring).rejects.toMatchObject({ id: "pve/9200", properties: { created: true } });
  while (!fake.pve.tasks.some(({ running }) => running)) await new Promise((resolve) => setImmediate(resolve));
  await fake.provider.cancel?.();
  await outcome;
  expect((await readJournal(run.runDir)).map(({ type }) => type)).not.toContain("run-ended");
});
