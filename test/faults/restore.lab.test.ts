/** Faults while the restore runs, around the start, and of the guest agent. */
import { spawn } from "node:child_process";
import { DRILL_VM, expectUndisturbed, FaultLab } from "./fault-lab";

jest.setTimeout(300_000);

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start();
});
beforeEach(() => lab.reset());
afterAll(async () => {
  lab.printCounts();
  await lab[Symbol.asyncDispose]();
});

test("restore-fails-late: the failure is Proxmox' own, also where the log can't be read, and the husk goes with destroy", async () => {
  lab.faults.on("restore-fails-late");
  lab.faults.on("task-log-unavailable");
  const { code, evidence } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toMatch(
    /phase restore failed: .*unable to open file '\/etc\/pve\/\S+' - Permission denied[\s\S]*the log could not be read: .*Input\/output error/,
  );
  expect(lab.api.lab.guests.exists(DRILL_VM)).toBe(true);
  await lab.expectCleanEnd();
});

test("disk-full: the restore fails with the end of its log, and its disks go", async () => {
  lab.faults.on("disk-full");
  const { code, evidence } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toMatch(/phase restore failed: [\s\S]*no space left on device/i);
  await lab.expectCleanEnd();
});

test("restore-stalls: the wait ends in its configured limit with the end of the log, and destroy stops the task first", async () => {
  await lab.reset([["restoreSeconds: 20", "restoreSeconds: 6"]]);
  lab.faults.on("restore-stalls");
  // The log that only tells how far the restore is may be denied: that ends nothing.
  lab.faults.on("api-403", { on: "GET /nodes/{node}/tasks/{upid}/log", times: 1 });
  const { code, evidence } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toMatch(
    /phase restore failed: The Proxmox task UPID:\S+ had not ended after 6 s\.\nEnd of its log:/,
  );
  const remains = await lab.remains();
  // Whether the task has made its disk within the limit depends on how busy this computer is.
  expect(remains[0]).toBe(`VM ${DRILL_VM}`);
  expect(remains.at(-1)).toMatch(/^UPID:.*:qmrestore:/);
  await lab.expectCleanEnd();
});

test("vm-locked: the start fails, destroy refuses while the lock is there and says which command takes it off", async () => {
  lab.faults.on("vm-locked", { on: `POST /nodes/pve/qemu/${DRILL_VM}/status/start` });
  const { code, evidence } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toMatch(/phase start failed: .*VM is locked \(backup\)/);
  const refused = await lab.destroy();
  expect([refused.code === 0, refused.writes]).toEqual([false, []]);
  expect(refused.errors.join("\n")).toContain(
    `Unable to remove VM ${DRILL_VM} on pve: it is locked (backup). Wait if a task works on it; if none does, as after a crash of the node, run "qm unlock ${DRILL_VM}" on pve. Then run pulumi destroy again.`,
  );
  lab.api.lab.guests.removeLock(DRILL_VM, "backup");
  await lab.expectCleanEnd();
});

test("agent-silent: the boot fails in its configured limit with what was last seen", async () => {
  lab.faults.on("agent-silent");
  const { code, evidence } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toContain(
    `Unable to reach the guest agent of VM ${DRILL_VM} within 10 s: last seen: VM running; QEMU guest agent is not running.`,
  );
  const agent = evidence?.phases.find(({ phase }) => phase === "agent");
  expect(agent?.seconds).toBeGreaterThanOrEqual(10);
  expect(agent?.seconds).toBeLessThan(20);
  await lab.expectCleanEnd();
});

test("agent-slow: the drill waits on, and its phase has the time in it", async () => {
  await lab.reset([
    ["agentSeconds: 10", "agentSeconds: 90"],
    ["checkSeconds: 10", "checkSeconds: 90"],
  ]);
  lab.faults.on("agent-slow");
  const outcome = await lab.up();
  expectUndisturbed(outcome);
  const agent = outcome.evidence?.phases.find(({ phase }) => phase === "agent");
  expect(agent?.seconds).toBeGreaterThanOrEqual(12); // ping, command, its answer
  await lab.expectCleanEnd();
});

test("Ctrl-C in the middle of a restore: no verdict is claimed, destroy stops the task, and the run ends as aborted", async () => {
  lab.faults.on("restore-stalls");
  const { code, runId } = await lab.guarded(async () => {
    const command = ["up", "-s", "drill", "--yes", "--skip-preview", "--non-interactive", "--color=never"];
    const env = { ...lab.workspace.environment, ...lab.apis.environment };
    lab.isStanding = true;
    // A group of its own that gets the signal as a whole, as from a terminal.
    const child = spawn("pulumi", command, { cwd: lab.workspace.project, env, detached: true, stdio: "ignore" });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", resolve);
    });
    const met = (): boolean => lab.faults.list().some(({ met: times }) => times > 0);
    while (!met() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(child.exitCode).toBeNull();
    if (child.pid !== undefined) process.kill(-child.pid, "SIGINT");
    return { code: await ended, runId: (await lab.newestRun()) ?? "" };
  });
  expect(code).not.toBe(0);
  expect((await lab.journal(runId)).map(({ type }) => type)).not.toContain("run-ended");
  await lab.expectCleanEnd();
  const events = await lab.journal(runId);
  expect(events.find((event) => event.type === "run-ended")).toMatchObject({ verdict: "aborted" });
});
