import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, fetch as undiciFetch } from "undici";
import { z } from "zod";
import { ensureServerIdentity } from "../../lab/tls";
import { credentialsFromEnvironment, PveClient, pvePath } from "../../pve/client";
import {
  classifyAnswer,
  PveAgentUnavailable,
  PveAlreadyExists,
  PveApiError,
  PveConnectionError,
  PveLocked,
  PveNotFound,
  PveNotImplemented,
  PveParameterError,
  PvePermissionDenied,
  PveUnauthorized,
} from "../../pve/errors";
import { PveTaskFailed, PveTaskTimeout, waitForTask } from "../../pve/nodes/tasks";

const TOKEN = "root@pam!lab=00000000-0000-4000-8000-000000000000";
const UPID = "UPID:pve:0000C0DE:0012D687:67471A55:qmrestore:9200:root@pam!lab:";

interface Received {
  method: string;
  url: string;
  headers: Record<string, unknown>;
  body: string;
}

let folder: string;
let server: Server;
let dispatcher: Agent;
let origin: string;
let trusting: typeof fetch;
let received: Received[];
let answer: (request: Received) => { status?: number; reason?: string; body: string };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homelab-pve-"));
  const { caPem, server: identity } = await ensureServerIdentity(folder, ["localhost", "127.0.0.1"], new Date());
  server = createServer({ ...identity, minVersion: "TLSv1.3" }, (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString("utf8")));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const item = { method, url, headers, body };
      received.push(item);
      const { status = 200, reason = "OK", body: text } = answer(item);
      response.writeHead(status, reason, { "Content-Type": "application/json;charset=UTF-8" }).end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  dispatcher = new Agent({ connect: { ca: caPem } });
  trusting = (async (url: string, init: object) =>
    undiciFetch(url, { ...init, dispatcher })) as unknown as typeof fetch;
});
afterAll(async () => {
  await dispatcher.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  received = [];
  answer = () => ({ body: '{"data":null}' });
});

const client = (endpoint = origin): PveClient => new PveClient(() => ({ endpoint, token: TOKEN }), trusting);

test("sends what PVE takes: token, form with a length, query without a body, coded paths", async () => {
  const { post, put, get } = bound(client(`${origin}/api2/json/`));
  await post(pvePath`/nodes/${"pve"}/qemu`, { vmid: 9200, unique: true, command: ["a b", "c&d"], none: undefined });
  await put("/x", {});
  await get(pvePath`/nodes/pve/tasks/${UPID}/status`, { start: 0 });
  await client().delete("/y", z.unknown(), { purge: true });
  expect(received.map(({ method, url, body }) => `${method} ${url} ${body}`)).toEqual([
    "POST /api2/json/nodes/pve/qemu vmid=9200&unique=1&command=a%20b&command=c%26d",
    "PUT /api2/json/x ",
    "GET /api2/json/nodes/pve/tasks/UPID%3Apve%3A0000C0DE%3A0012D687%3A67471A55%3Aqmrestore%3A9200%3Aroot%40pam!lab%3A/status?start=0 ",
    "DELETE /api2/json/y?purge=1 ",
  ]);
  expect(received[0]?.headers).toMatchObject({
    authorization: `PVEAPIToken=${TOKEN}`,
    "content-length": "46",
    "content-type": "application/x-www-form-urlencoded",
  });
  expect(received[0]?.headers["transfer-encoding"]).toBeUndefined();
  expect(received[3]?.headers["content-length"]).toBeUndefined();
});

function bound(pve: PveClient): Record<"post" | "put" | "get", (path: string, values: object) => Promise<unknown>> {
  return {
    post: async (path, values) => pve.post(path, z.unknown(), { ...values }),
    put: async (path, values) => pve.put(path, z.unknown(), { ...values }),
    get: async (path, values) => pve.get(path, z.unknown(), { ...values }),
  };
}

test.each([
  [401, "No ticket", "", PveUnauthorized],
  [403, "Permission check failed (/vms/105, VM.Backup)", '{"data":null}', PvePermissionDenied],
  [400, "Parameter verification failed.", '{"data":null,"errors":{"memory":"too small"}}', PveParameterError],
  [400, "Parameter verification failed.", '{"data":null,"errors":{"id":"No such job \'x\'"}}', PveNotFound],
  [400, "Parameter verification failed.", '{"errors":{"vmid":"VM 9200 already exists"}}', PveAlreadyExists],
  [500, "Configuration file 'nodes/pve/qemu-server/9.conf' does not exist", '{"data":null}', PveNotFound],
  [500, "storage 'x' does not exist", '{"data":null}', PveNotFound],
  [400, "Parameter verification failed.", '{"errors":{"storage":"No such storage."}}', PveNotFound],
  [500, "unable to restore VM 9 - VM 9 already exists on node 'pve'", '{"data":null}', PveAlreadyExists],
  [500, "VM is locked (backup)", '{"data":null}', PveLocked],
  [500, "can't lock file '/var/lock/qemu-server/lock-105.conf' - got timeout", '{"data":null}', PveLocked],
  [500, "QEMU guest agent is not running", '{"data":null}', PveAgentUnavailable],
  [500, "VM 105 is not running", '{"data":null}', PveAgentUnavailable],
  [500, "VM 105 qga command 'guest-exec' failed - got timeout", '{"data":null}', PveAgentUnavailable],
  [501, "Method 'GET /x' not implemented", '{"data":null}', PveNotImplemented],
  [596, "Connection timed out", "", PveConnectionError],
  [500, "something else", '{"data":null,"message":"something else\\nand more\\n"}', PveApiError],
])("status %i %s is classified", (status, reason, body, type) => {
  const error = classifyAnswer({ method: "GET", path: "/x" }, { status, reason, body });
  expect(error.constructor).toBe(type);
  expect(error.message).toMatch(/^Unable to GET \/x: /);
  expect(error.message).not.toContain("..");
});

test("the whole message is used where the body has more than the reason phrase", async () => {
  answer = () => ({ status: 500, reason: "first line", body: '{"data":null,"message":"first line\\nsecond line\\n"}' });
  await expect(client().post("/x", z.unknown())).rejects.toMatchObject({ text: "first line\nsecond line" });
});

test("parameter errors keep their map", async () => {
  answer = () => ({
    ...{ status: 400, reason: "Parameter verification failed." },
    body: '{"data":null,"errors":{"scsi0":"option conflicts with option \'archive\'"}}',
  });
  await expect(client().post("/x", z.unknown())).rejects.toMatchObject({
    errors: { scsi0: "option conflicts with option 'archive'" },
  });
});

test("a certificate that nobody vouches for is refused, and the message says what to do", async () => {
  const untrusting = new PveClient(() => ({ endpoint: origin, token: TOKEN }));
  await expect(untrusting.get("/version", z.unknown())).rejects.toThrow(
    /certificate of localhost:\d+ is not trusted .* NODE_EXTRA_CA_CERTS/,
  );
  expect(received).toEqual([]);
});

test.each([
  ["of another name", ["other.example"], 0, /can't be accepted .*altnames.* Name the node in PROXMOX_VE_ENDPOINT as/],
  ["that has expired", ["localhost"], -9000, /can't be accepted .*expired.* Renew it on the node/],
  [
    "of tomorrow",
    ["localhost"],
    9000,
    /can't be accepted .*not yet valid.* Check the clocks of this computer and of the node/,
  ],
])("a certificate %s is refused without advice about a CA, because none would help", async (_, names, days, text) => {
  const dir = join(folder, names.join(), String(days));
  const { caPem, server: identity } = await ensureServerIdentity(dir, names, new Date(Date.now() + days * 86_400_000));
  const other = createServer(identity, (_request, response) => response.end());
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const trusts = new Agent({ connect: { ca: caPem } });
  const send = (async (url: string, init: object) =>
    undiciFetch(url, { ...init, dispatcher: trusts })) as unknown as typeof fetch;
  try {
    const endpoint = `https://localhost:${(other.address() as AddressInfo).port}`;
    const asked = new PveClient(() => ({ endpoint, token: TOKEN }), send).get("/version", z.unknown());
    const error = await asked.catch((thrown: unknown) => thrown as PveConnectionError);
    expect(error).toMatchObject({ message: expect.stringMatching(text) as string, isTransient: false });
    expect(error).not.toMatchObject({ message: expect.stringContaining("NODE_EXTRA_CA_CERTS") as string });
  } finally {
    await trusts.destroy();
    await new Promise((resolve) => other.close(resolve));
  }
});

test("names, closed ports and foreign servers are told apart", async () => {
  const closed = new PveClient(() => ({ endpoint: "https://127.0.0.1:9", token: TOKEN }));
  await expect(closed.post("/x", z.unknown())).rejects.toMatchObject({ isTransient: true });
  const nowhere = new PveClient(() => ({ endpoint: "https://nowhere.invalid:8006", token: TOKEN }));
  await expect(nowhere.get("/x", z.unknown())).rejects.toThrow(/name of nowhere.invalid:8006 is not known/);
  answer = () => ({ body: "<html>Router</html>" });
  await expect(client().get("/x", z.unknown())).rejects.toThrow("with something that is not JSON");
  answer = () => ({ body: '{"hello":1}' });
  await expect(client().get("/x", z.unknown())).rejects.toThrow("JSON that has no data");
  answer = () => ({ body: '{"data":{"vmid":"x"}}' });
  await expect(client().get("/x", z.object({ vmid: z.number() }))).rejects.toThrow(
    /another form than expected \(vmid:/,
  );
});

test("only reads are tried again", async () => {
  answer = () =>
    received.length < 2 ? { status: 596, reason: "Connection refused", body: "" } : { body: '{"data":1}' };
  expect(await client().get("/x", z.number())).toBe(1);
  received = [];
  await expect(client().post("/x", z.number())).rejects.toBeInstanceOf(PveConnectionError);
  expect(received).toHaveLength(1);
});

test("a call ends when told to and when its time is over", async () => {
  const sockets: Socket[] = [];
  const silent = createTcpServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const endpoint = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await expect(client(endpoint).post("/x", z.unknown(), {}, { timeoutMs: 50.5 })).rejects.toThrow(
    "did not answer in time",
  );
  const reason = new Error("cancelled");
  const signal = AbortSignal.abort(reason);
  await expect(client(endpoint).post("/x", z.unknown(), {}, { signal })).rejects.toBe(reason);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

describe("tasks", () => {
  const wait = { timeoutMs: 2000, firstPauseMs: 5 };
  const status = (body: object): { body: string } => ({ body: JSON.stringify({ data: body }) });

  test("are waited for, also when they are not known yet at first", async () => {
    const unknown = {
      status: 400,
      reason: "Parameter verification failed.",
      body: '{"errors":{"upid":"no such task"}}',
    };
    const answers = [unknown, status({ status: "running" }), status({ status: "stopped", exitstatus: "WARNINGS: 2" })];
    answer = () => answers.shift() ?? { status: 500, body: "" };
    expect(await waitForTask(client(), UPID, wait)).toEqual({ exitStatus: "WARNINGS: 2" });
  });

  test("fail with Proxmox's words and the end of the log", async () => {
    answer = ({ url }) =>
      url.includes("/log")
        ? { body: '{"data":[{"n":1,"t":"progress 1%"},{"n":2,"t":"TASK ERROR: disk full"}],"total":2}' }
        : status({ status: "stopped", exitstatus: "disk full" });
    const ended = waitForTask(client(), UPID, wait);
    await expect(ended).rejects.toBeInstanceOf(PveTaskFailed);
    await expect(ended).rejects.toThrow(
      /failed: disk full\nEnd of its log:\n {2}progress 1%\n {2}TASK ERROR: disk full/,
    );
  });

  test("that do not end are given up at the deadline", async () => {
    answer = ({ url }) => (url.includes("/log") ? { body: '{"data":[]}' } : status({ status: "running" }));
    await expect(waitForTask(client(), UPID, { ...wait, timeoutMs: 60 })).rejects.toBeInstanceOf(PveTaskTimeout);
  });
});

test("credentials come from the environment with every problem at once, and no error shows a token", () => {
  const read = (environment: NodeJS.ProcessEnv) => () => credentialsFromEnvironment(environment);
  expect(read({})).toThrow("PROXMOX_VE_ENDPOINT is not set; PROXMOX_VE_API_TOKEN is not set");
  expect(read({ PROXMOX_VE_ENDPOINT: "http://pve:8006", PROXMOX_VE_API_TOKEN: "hunter2" })).toThrow(
    /^(?!.*hunter2).*is not https; PROXMOX_VE_API_TOKEN is not of the form/,
  );
  expect(credentialsFromEnvironment({ PROXMOX_VE_ENDPOINT: origin, PROXMOX_VE_API_TOKEN: TOKEN })).toEqual({
    ...{ endpoint: origin, token: TOKEN },
  });
});
