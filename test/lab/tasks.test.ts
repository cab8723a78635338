import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TaskStore } from "../../lab/tasks";
import { type TaskContext } from "../../lab/types";

describe("tasks", () => {
  let dir: string;
  let tasks: TaskStore;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "homelab-tasks-"));
    tasks = new TaskStore(dir, "pve");
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  const start = (work: (context: TaskContext) => Promise<void>): string =>
    tasks.start({ type: "vzdump", id: "200", user: "root@pam!lab", work });

  test("end with their outcome", async () => {
    const outcomes = [
      start(async ({ log }) => log("done")),
      start(async ({ log }) => log("WARN: half done")),
      start(async () => Promise.reject(new Error("first line\nsecond line\n"))),
    ];
    for (const upid of outcomes) await tasks.wait(upid);
    expect(outcomes.map((upid) => tasks.status(upid).exitstatus)).toEqual([
      "OK",
      "WARNINGS: 1",
      "first line second line",
    ]);
    expect(outcomes.map((upid) => tasks.log(upid, 0, 0).lines.at(-1)?.t)).toEqual([
      "TASK OK",
      "TASK WARNINGS: 1",
      "TASK ERROR: first line second line",
    ]);
  });

  test("name the token and not only the user", async () => {
    const upid = start(async () => undefined);
    expect(upid).toMatch(/^UPID:pve:[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:vzdump:200:root@pam!lab:$/);
    expect(tasks.status(upid)).toMatchObject({ user: "root@pam", tokenid: "lab", status: "running", id: "200" });
    await tasks.wait(upid);
  });

  test("run until they are stopped", async () => {
    const upid = start(
      async ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(tasks.status(upid).status).toBe("running");
    tasks.stop(upid);
    await tasks.wait(upid);
    expect(tasks.status(upid).exitstatus).toBe("interrupted by signal");
  });

  test("give pages of their log, and 'no content' for an empty one", async () => {
    const upid = start(async ({ log }) => {
      for (let index = 1; index <= 5; index++) log(`line ${index}`);
    });
    await tasks.wait(upid);
    expect(tasks.log(upid, 1, 2)).toEqual({
      lines: [
        { n: 2, t: "line 2" },
        { n: 3, t: "line 3" },
      ],
      total: 6,
    });
    for (const file of readdirSync(dir)) writeFileSync(join(dir, file), "");
    expect(tasks.log(upid, 0, 50)).toEqual({ lines: [{ n: 1, t: "no content" }], total: 1 });
    expect(tasks.status(upid).exitstatus).toBe("unable to read tail (got 0 bytes)");
  });

  test("of a killed daemon have an unexpected status", async () => {
    const upid = start(async () => undefined);
    await tasks.wait(upid);
    for (const file of readdirSync(dir)) writeFileSync(join(dir, file), "INFO: 31%\n");
    const restarted = new TaskStore(dir, "pve");
    expect(restarted.status(upid)).toMatchObject({ status: "stopped", exitstatus: "unexpected status" });
    expect(restarted.list().map((task) => task.upid)).toEqual([upid]);
  });

  test("that never were are a parameter error", () => {
    expect(() => tasks.status("UPID:pve:00000001:00000001:00000001:vzdump:200:root@pam:")).toThrow(
      "Parameter verification failed.",
    );
    expect(() => tasks.status("rubbish")).toThrow("Parameter verification failed.");
  });
});
