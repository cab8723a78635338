/** Waits under faults: each ends in its limit, says what was last seen, and does not take a disturbance for the end. */
import { PveTaskFailed, PveTaskTimeout, waitForTask } from "../../pve/nodes/tasks";
import { runInGuest } from "../../pve/nodes/agent";
import { ApiLab } from "../lab/api-lab";
import { ShellGuest } from "./shell-guest";

jest.setTimeout(60_000);

let api: ApiLab;
beforeAll(async () => {
  api = await ApiLab.start();
});
afterEach(() => api.lab.faults.allOff());
afterAll(async () => api[Symbol.asyncDispose]());

const STATUS = "GET /nodes/{node}/tasks/{upid}/status";
const LOG = "GET /nodes/{node}/tasks/{upid}/log";

/** A task that says a line and then waits; `end` ends it. */
function startTask(): { upid: string; end: (error?: Error) => void } {
  let end: (error?: Error) => void = () => undefined;
  const ended = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const upid = api.lab.tasks.start({
    type: "qmrestore",
    id: "9200",
    user: "root@pam!lab",
    work: async ({ log, signal }) => {
      log("progress 41% (read 440401920 bytes, duration 3 sec)");
      await Promise.race([ended, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
    },
  });
  return { upid, end };
}

async function secondsOf(work: Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work.catch(() => undefined);
  return (performance.now() - begun) / 1000;
}

test("a server that never answers does not keep a wait beyond its limit, and the end says what was last seen", async () => {
  const { upid, end } = startTask();
  api.lab.faults.on("api-hangs", { on: STATUS });
  const wait = waitForTask(api.client(), upid, { timeoutMs: 1500 });
  const [seconds] = await Promise.all([
    secondsOf(wait),
    expect(wait).rejects.toThrow(
      /^The Proxmox task UPID:\S+ had not ended after 2 s; last seen: Unable to GET \S+: \S+ did not answer in time\.[\s\S]*\nEnd of its log:\n {2}progress 41%/,
    ),
    expect(wait).rejects.toBeInstanceOf(PveTaskTimeout),
  ]);
  expect(seconds).toBeGreaterThan(1.4);
  expect(seconds).toBeLessThan(6);
  end();
});

test("a task that goes on beyond the limit is not said to be disturbed", async () => {
  const { upid, end } = startTask();
  await expect(waitForTask(api.client(), upid, { timeoutMs: 300 })).rejects.toThrow(
    /had not ended after 0 s\.\nEnd of its log:\n {2}progress 41%/,
  );
  end();
});

test("where not even the log is answered, the wait still ends soon after its limit", async () => {
  const { upid, end } = startTask();
  api.lab.faults.on("api-hangs");
  const wait = waitForTask(api.client(), upid, { timeoutMs: 1000 });
  const [seconds] = await Promise.all([secondsOf(wait), expect(wait).rejects.toThrow("the log could not be read")]);
  expect(seconds).toBeLessThan(15);
  end();
});

test.each(["api-403", "task-log-unavailable"] as const)("%s on the log is not the task's end", async (fault) => {
  const { upid, end } = startTask();
  api.lab.faults.on(fault, { on: LOG });
  setTimeout(end, 4500);
  const lines: string[] = [];
  const wait = waitForTask(api.client(), upid, { timeoutMs: 20_000, onLog: (line) => lines.push(line) });
  await expect(wait).resolves.toEqual({ exitStatus: "OK" });
  expect(api.lab.faults.list()[0]?.met).toBeGreaterThan(0);
  expect(lines).toEqual([]);
});

test("a task that failed says so with Proxmox' words also where its log can't be read", async () => {
  const { upid, end } = startTask();
  api.lab.faults.on("task-log-unavailable");
  end(new Error("command 'vma extract' failed: exit code 133"));
  const wait = waitForTask(api.client(), upid, { timeoutMs: 20_000 });
  await expect(wait).rejects.toThrow(
    /failed: command 'vma extract' failed: exit code 133\nEnd of its log:\n {2}\(the log could not be read: .*Input\/output error/,
  );
  await expect(wait).rejects.toBeInstanceOf(PveTaskFailed);
});

test.each(["api-596", "api-resets", "api-500"] as const)("%s a few times is not the task's end", async (fault) => {
  const { upid, end } = startTask();
  api.lab.faults.on(fault, { on: STATUS, times: 4 });
  end();
  await expect(waitForTask(api.client(), upid, { timeoutMs: 20_000 })).resolves.toEqual({ exitStatus: "OK" });
  expect(api.lab.faults.list()[0]?.met).toBe(4);
});

test.each(["api-401", "api-403", "api-html"] as const)(
  "%s ends a wait at once, because waiting mends nothing",
  async (fault) => {
    const { upid, end } = startTask();
    api.lab.faults.on(fault, { on: STATUS });
    const wait = waitForTask(api.client(), upid, { timeoutMs: 20_000 });
    const [seconds] = await Promise.all([secondsOf(wait), expect(wait).rejects.toThrow(/^Unable to GET /)]);
    expect(seconds).toBeLessThan(10);
    end();
  },
);

describe("a command in the guest", () => {
  beforeAll(async () => {
    await api.task("POST", "/nodes/pve/qemu", { vmid: 300, memory: 512, agent: "enabled=1" });
    await api.task("POST", "/nodes/pve/qemu/300/status/start");
    api.machines.agents.set(300, new ShellGuest());
  });

  const run = (timeoutMs: number): Promise<{ stdout: string }> =>
    runInGuest(api.client(), { node: "pve", vmId: 300 }, ["sh", "-c", "echo well"], { timeoutMs });

  test("is not kept beyond its limit by a server that never answers", async () => {
    api.lab.faults.on("api-hangs", { on: "GET /nodes/{node}/qemu/{vmid}/agent/exec-status" });
    const waited = run(1500);
    const [seconds] = await Promise.all([secondsOf(waited), expect(waited).rejects.toThrow("did not answer in time")]);
    expect(seconds).toBeLessThan(6);
  });

  test("takes its time with an agent that is slow", async () => {
    api.lab.faults.on("agent-slow", { on: "GET /nodes/{node}/qemu/{vmid}/agent/exec-status", times: 1 });
    expect(await run(20_000)).toMatchObject({ exitCode: 0, stdout: "well\n" });
  });

  test.each(["api-resets", "api-596"] as const)("is not begun twice by %s", async (fault) => {
    const exec = "POST /nodes/{node}/qemu/{vmid}/agent/exec";
    api.lab.faults.on(fault, { on: exec });
    await expect(run(5000)).rejects.toThrow(/^Unable to POST /);
    expect(api.lab.faults.list()[0]?.met).toBe(1);
  });
});
