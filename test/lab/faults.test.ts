/** The lab's faults by themselves: what a client meets, and that nothing is on by itself. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FAULTS, type FaultName } from "../../lab/faults/catalogue";
import { controlSocket, startControl } from "../../lab/faults/control";
import { Faults } from "../../lab/faults/faults";
import { ApiLab } from "./api-lab";

const VERSION = "/api2/json/version";

describe("calls", () => {
  let api: ApiLab;
  beforeAll(async () => {
    api = await ApiLab.start();
  });
  afterEach(() => api.lab.faults.allOff());
  afterAll(async () => api[Symbol.asyncDispose]());

  test.each<[FaultName, number, string]>([
    ["api-401", 401, "Authentication failed!"],
    ["api-403", 403, "Permission check failed"],
    ["api-500", 500, "got no worker upid - start worker failed"],
    ["api-596", 596, "Connection timed out"],
  ])("%s is an answer, until it is off", async (name, status, reason) => {
    api.lab.faults.on(name);
    expect(await api.send("GET", VERSION)).toMatchObject({ status, reason });
    expect(api.lab.faults.off(name)).toBe(1);
    expect(await api.send("GET", VERSION)).toMatchObject({ status: 200 });
  });

  test("api-html answers 200 with a page", async () => {
    api.lab.faults.on("api-html");
    const { status, headers, text } = await api.send("GET", VERSION);
    expect([status, headers["content-type"], text]).toEqual([
      200,
      "text/html",
      expect.stringMatching(/^<!doctype html>/),
    ]);
  });

  test("api-resets makes no call, api-answer-lost makes it", async () => {
    const pool = (): Promise<unknown> => api.call("POST", "/pools", { poolid: "made" });
    api.lab.faults.on("api-resets", { times: 1 });
    await expect(pool()).rejects.toThrow("fetch failed");
    expect(api.lab.pools.find("made")).toBeUndefined();
    api.lab.faults.on("api-answer-lost", { times: 1 });
    await expect(pool()).rejects.toThrow("fetch failed");
    expect(api.lab.pools.find("made")).toBeDefined();
  });

  test("api-hangs never answers", async () => {
    api.lab.faults.on("api-hangs");
    const waited = api.client().get("/version", undefined as never, {}, { timeoutMs: 200 });
    await expect(waited).rejects.toThrow("did not answer in time");
  });

  test("a scope names the calls, how many pass first and how many are met; others pass", async () => {
    api.lab.faults.on("api-500", { on: "GET /nodes/{node}/status", after: 1, times: 2 });
    const statuses: number[] = [];
    for (const path of [VERSION, ...Array.from({ length: 4 }, () => "/api2/json/nodes/pve/status")]) {
      statuses.push((await api.send("GET", path)).status);
    }
    expect(statuses).toEqual([200, 200, 500, 500, 200]);
    const logged = readFileSync(api.requestLog, "utf8").trim().split("\n").slice(-4);
    expect(logged.map((line) => (JSON.parse(line) as { fault?: string }).fault)).toEqual([
      undefined,
      "api-500",
      "api-500",
      undefined,
    ]);
  });

  test("a storage that is offline is not active, and nothing on it can be listed; another one is well", async () => {
    api.lab.faults.on("storage-offline", { storage: "local" });
    expect(await api.ok("GET", "/nodes/pve/storage/local/status")).toMatchObject({ active: 0, enabled: 1, avail: 0 });
    expect(await api.call("GET", "/nodes/pve/storage/local/content")).toMatchObject({
      status: 500,
      reason: "storage 'local' is not online",
    });
    expect(await api.ok("GET", "/nodes/pve/storage/local-lvm/status")).toMatchObject({ active: 1 });
  });
});

test.each<[FaultName, unknown, string]>([
  ["api-500", { on: "PATCH /nodes" }, "on: a method or *, and a path, such as GET /nodes/{node}/status"],
  ["api-500", { often: 1 }, 'scope: Unrecognized key: "often"'],
  ["api-500", { storage: "nas" }, "storage: means nothing for this fault, which takes on, after, times"],
  ["storage-offline", {}, "storage: missing; name the storage"],
])("%s with the scope %j is refused", (name, scope, problem) => {
  const faults = new Faults();
  expect(() => faults.on(name, scope)).toThrow(
    `Unable to switch on the fault ${name}: ${problem}. Correct these and try again.`,
  );
  expect(faults.list()).toEqual([]);
});

test("a VM starts with its clock a day ahead only while the fault is on and for that VM", () => {
  const faults = new Faults();
  const now = new Date("2026-11-21T10:00:00.123Z");
  faults.on("guest-clock-ahead", { vm: 9200 });
  expect(faults.startConfig(200, { name: "a" }, now)).toEqual({ name: "a" });
  expect(faults.startConfig(9200, { name: "a" }, now)).toEqual({ name: "a", startdate: "2026-11-22T10:00:00" });
  faults.allOff();
  expect(faults.startConfig(9200, { name: "a" }, now)).toEqual({ name: "a" });
});

test("way-out: a VM starts on the network that has a router, in its VLAN, and its configuration does not show it", () => {
  const faults = new Faults();
  const config = {
    name: "a",
    net0: "virtio=BC:24:11:00:00:01,bridge=vmbr99",
    net1: "e1000=BC:24:11:00:00:02,bridge=vmbr99",
  };
  const routed = { name: "vmbr0", vlanId: 30 };
  faults.on("way-out", { vm: 9200 });
  expect(faults.startNetwork(200, config, routed)).toBe(config);
  expect(faults.startNetwork(9200, config, routed)).toEqual({
    name: "a",
    net0: "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=30",
    net1: "e1000=BC:24:11:00:00:02,bridge=vmbr0,tag=30",
  });
  expect(config.net0).toContain("bridge=vmbr99");
  faults.allOff();
  expect(faults.startNetwork(9200, config, routed)).toBe(config);
});

describe("the control", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "homelab-control-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const ask = (method: string, path: string, body = ""): Promise<[number | undefined, unknown]> =>
    new Promise((resolve, reject) => {
      const sent = request({ socketPath: controlSocket(dir), method, path }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (part: string) => (text += part));
        answer.on("end", () => resolve([answer.statusCode, JSON.parse(text)]));
      });
      sent.once("error", reject).end(body);
    });

  test("switches faults on and off, lists them, and says what it can't do; everything stands in the log", async () => {
    const lines: string[] = [];
    await using control = await startControl(new Faults((line) => lines.push(line)), dir);
    expect(control).toBeDefined();
    expect(await ask("GET", "/faults")).toEqual([200, []]);
    const on = { name: "api-500", scope: { times: 1 }, met: 0 };
    expect(await ask("PUT", "/faults/api-500", '{"times":1}')).toEqual([200, [on]]);
    expect(await ask("PUT", "/faults/api-501")).toEqual([
      400,
      { message: "Unable to do PUT /faults/api-501: there is no such fault." },
    ]);
    expect(await ask("DELETE", "/faults/api-500")).toEqual([200, []]);
    expect(await ask("PUT", "/faults/api-html")).toEqual([200, [{ name: "api-html", scope: {}, met: 0 }]]);
    expect(await ask("DELETE", "/faults")).toEqual([200, []]);
    expect(lines).toEqual([
      `fault api-500 is on: ${FAULTS["api-500"].what} {"times":1}`,
      "fault api-500 is off; it was met 0 times",
      `fault api-html is on: ${FAULTS["api-html"].what} {}`,
      "fault api-html is off; it was met 0 times",
    ]);
  });
});
