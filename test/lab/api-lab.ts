/** The API server on a loopback port with its state in a temporary folder, and a client that speaks real TLS to it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, fetch } from "undici";
import { BackupJobs } from "../../lab/backup-jobs";
import { createBackupEngine } from "../../lab/backup/engine";
import { type BackupEngine, type RestoreRequest, type VzdumpRequest } from "../../lab/backup/types";
import { type Lab } from "../../lab/context";
import { Faults } from "../../lab/faults/faults";
import { Guests } from "../../lab/guests";
import { handlers } from "../../lab/handlers";
import { Pools } from "../../lab/pools";
import { AccessList } from "../../lab/privileges/access-list";
import { Router, type Method } from "../../lab/router";
import { startApiServer } from "../../lab/server";
import { type LabSpec } from "../../lab/spec";
import { type TaskContext } from "../../lab/types";
import { PveClient } from "../../pve/client";
import { LabVolumes } from "../../lab/storage";
import { StorageConfig } from "../../lab/storage-config";
import { TaskStore } from "../../lab/tasks";
import { ensureServerIdentity } from "../../lab/tls";
import { MemoryMachines } from "./memory-machines";
import { answerProblems, pveSchema } from "./pve-schema";

export const TOKEN = "root@pam!lab=11111111-2222-3333-4444-555555555555";
const GIB = 1024 ** 3;

/** Backups are recorded, not made: the engine has tests of its own. */
export class RecordedBackups implements BackupEngine {
  readonly vzdumps: VzdumpRequest[] = [];
  readonly restores: RestoreRequest[] = [];
  /** What a backup does after it was recorded. */
  onVzdump: (request: VzdumpRequest, task: TaskContext) => Promise<void> = () => Promise.resolve();
  /** What the next restore does after it was recorded. */
  onRestore: (request: RestoreRequest, task: TaskContext) => Promise<void> = (request) =>
    request.writeConfig({ name: "restored" });

  async vzdump(request: VzdumpRequest, task: TaskContext): Promise<void> {
    this.vzdumps.push(request);
    await this.onVzdump(request, task);
  }

  async restore(request: RestoreRequest, task: TaskContext): Promise<void> {
    this.restores.push(request);
    await this.onRestore(request, task);
  }

  async extractConfig(archivePath: string): Promise<string> {
    return readFileSync(archivePath, "utf8");
  }
}

export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly body: { data?: unknown; total?: number; message?: string; errors?: Record<string, string> };
}

type Form = Readonly<Record<string, string | number | readonly string[]>>;

export class ApiLab implements AsyncDisposable {
  private constructor(
    readonly lab: Lab,
    readonly machines: MemoryMachines,
    readonly backups: RecordedBackups,
    readonly endpoint: string,
    readonly requestLog: string,
    private readonly agent: Agent,
    private readonly server: AsyncDisposable,
  ) {}

  /** @param realBackups Backups and restores are made, by the lab's own engine. */
  static async start(overrides: Partial<LabSpec> = {}, { realBackups = false } = {}): Promise<ApiLab> {
    const dir = mkdtempSync(join(tmpdir(), "homelab-api-"));
    const image = join(dir, "image.raw");
    writeFileSync(image, Buffer.alloc(1024 * 1024, 7));
    const spec: LabSpec = { ...exampleSpec(dir, image), ...overrides };
    const machines = new MemoryMachines();
    const backups = new RecordedBackups();
    const faults = new Faults();
    const storages = new StorageConfig(spec, faults);
    const guests = new Guests(dir, spec.node.name, 500);
    const volumes = new LabVolumes(storages);
    const tmpDir = join(dir, "vzdump-tmp");
    const lab: Lab = {
      spec,
      now: () => new Date(),
      uptime: () => 1,
      guests,
      tasks: new TaskStore(join(dir, "tasks"), spec.node.name),
      storages,
      volumes,
      machines,
      backups: realBackups ? createBackupEngine({ volumes, machines, guests, tmpDir, node: spec.node.name }) : backups,
      jobs: new BackupJobs(dir),
      pools: new Pools(dir, spec.access?.pools),
      acl: new AccessList(dir, spec.access),
      faults,
    };
    const { caPem, server: tls } = await ensureServerIdentity(dir, ["127.0.0.1", "localhost"], new Date());
    const requestLog = join(dir, "requests.ndjson");
    const server = await startApiServer({
      lab,
      tls,
      address: "127.0.0.1",
      port: 0,
      requestLog,
      log: (line) => process.stderr.write(`${line}\n`),
      authenticationDelayMs: 5,
    });
    const agent = new Agent({ connect: { ca: caPem } });
    return new ApiLab(lab, machines, backups, `https://127.0.0.1:${server.port}`, requestLog, agent, server);
  }

  /** The project's own client for this server. */
  client(token = TOKEN): PveClient {
    const send = (url: string, init: RequestInit): unknown => fetch(url, { ...init, dispatcher: this.agent } as object);
    return new PveClient(() => ({ endpoint: this.endpoint, token }), send as typeof globalThis.fetch);
  }

  /** One raw request; nothing is checked. */
  async send(
    method: string,
    path: string,
    options: { headers?: Record<string, string>; body?: string | ReadableStream; token?: string | null } = {},
  ): Promise<Answer> {
    const { token = TOKEN } = options;
    const response = await fetch(`${this.endpoint}${path}`, {
      method,
      dispatcher: this.agent,
      headers: { ...(token === null ? {} : { authorization: `PVEAPIToken=${token}` }), ...options.headers },
      body: options.body,
      ...(typeof options.body === "object" ? { duplex: "half" } : {}),
    });
    const text = await response.text();
    const parsed = text.startsWith("{") ? (JSON.parse(text) as Answer["body"]) : {};
    const headers = Object.fromEntries(response.headers);
    return { status: response.status, reason: response.statusText, headers, text, body: parsed };
  }

  /** A call as the providers make it. A success is compared with the official schema. */
  async call(method: Method, path: string, form: Form = {}): Promise<Answer> {
    const pairs = Object.entries(form).flatMap(([name, value]): [string, string][] =>
      (typeof value === "object" ? value : [value]).map((item) => [name, String(item)]),
    );
    const fields = new URLSearchParams(pairs).toString();
    const inQuery = method === "GET" || method === "DELETE";
    const answer = await this.send(method, `/api2/json${path}${inQuery && fields !== "" ? `?${fields}` : ""}`, {
      ...(inQuery || fields === ""
        ? {}
        : { body: fields, headers: { "content-type": "application/x-www-form-urlencoded" } }),
    });
    if (answer.status === 200) expect(this.schemaProblems(method, path, answer.body.data)).toEqual([]);
    return answer;
  }

  /** Like `call`, and gives the data. Fails when the call does. */
  async ok(method: Method, path: string, form: Form = {}): Promise<unknown> {
    const answer = await this.call(method, path, form);
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body.data;
  }

  /** Makes a call that starts a task and waits for its outcome. */
  async task(
    method: Method,
    path: string,
    form: Form = {},
  ): Promise<{ upid: string; exitStatus: string; log: string[] }> {
    const upid = String(await this.ok(method, path, form));
    await this.lab.tasks.wait(upid);
    const status = (await this.ok("GET", `/nodes/pve/tasks/${encodeURIComponent(upid)}/status`)) as {
      exitstatus: string;
    };
    const log = (await this.ok("GET", `/nodes/pve/tasks/${encodeURIComponent(upid)}/log`, { limit: 0 })) as {
      t: string;
    }[];
    return { upid, exitStatus: status.exitstatus, log: log.map(({ t }) => t) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent.close();
    await this.server[Symbol.asyncDispose]();
    await this.lab.tasks.stopAll();
    rmSync(this.lab.spec.dir, { recursive: true, force: true });
  }

  private schemaProblems(method: Method, path: string, data: unknown): string[] {
    const { handler } = new Router(handlers).find(method, decodeURIComponent(path.split("?")[0] ?? ""));
    const returns = pveSchema[`${method} ${handler.path}`]?.returns;
    return returns === undefined ? [] : answerProblems(returns, data);
  }
}

function exampleSpec(dir: string, image: string): LabSpec {
  return {
    id: "unit",
    dir,
    node: { name: "pve", address: "127.0.0.1", memoryBytes: 8 * GIB, cores: 2 },
    bridges: [
      { name: "vmbr0", addresses: ["192.168.20.1/24"] },
      { name: "vmbr99", addresses: [] },
    ],
    storages: [
      { id: "local-lvm", kind: "lvmthin", content: ["images"], totalBytes: 100 * GIB, predefined: true },
      {
        id: "local",
        kind: "dir",
        content: ["iso", "import", "snippets", "images"],
        totalBytes: 100 * GIB,
        path: "/var/lib/vz",
        predefined: true,
      },
      { id: "nas", kind: "dir", content: ["backup"], totalBytes: 100 * GIB, path: "/mnt/pve/nas", predefined: false },
    ],
    downloads: [{ url: "https://images.example.net/image.raw", file: image }],
    apiTokens: [TOKEN],
    access: {
      ...{ roles: {}, acl: [], separatedTokens: [] },
      pools: [
        { poolid: "homelab-prod", vms: [] },
        { poolid: "homelab-drill", vms: [] },
      ],
    },
    cloudflare: { apiToken: "unused", zones: [], port: 0 },
    registry: { root: dir, tags: {}, port: 0 },
  };
}
