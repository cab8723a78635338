/**
 * `homelab adopt` with the real `pulumi`, the real Proxmox provider and the lab's APIs, without machines. What it does not
 * prove: containers (test/rehearsal/lost-state.ts does), and what cloud-init does in a guest that had none so far.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { z } from "zod";
import { nodeCommand } from "../../../cli/lab/node-command";
import { ReachableApis } from "../../bad-input/reachable";
import { type Ended, Workspace } from "../../bad-input/workspace";

jest.setTimeout(600_000);

let workspace: Workspace;
let apis: ReachableApis;
beforeAll(async () => {
  workspace = await Workspace.create();
});
afterAll(async () => workspace[Symbol.asyncDispose]());
beforeEach(async () => {
  apis = await ReachableApis.start();
});
afterEach(async () => apis[Symbol.asyncDispose]());

const ZONE = "0123456789abcdef0123456789abcdef";
const URN = "urn:pulumi:prod::homelab::homelab:components:";
const VM_URN = `${URN}DockerVm$proxmoxve:index/vmLegacy:VmLegacy::docker-vm`;
const LIVING = [
  VM_URN,
  `${URN}DockerVm$proxmoxve:download/file:File::docker-vm-image`,
  `${URN}BackupPlan$proxmoxve:storage/directory:Directory::backup-storage`,
  `${URN}BackupPlan$proxmoxve:backup/job:Job::backup-job`,
  `${URN}DnsRecords$cloudflare:index/dnsRecord:DnsRecord::dns-miniflux`,
].sort();

/** There is no guest behind this API: an update ends before SSH, after all that concerns Proxmox and DNS. */
const WITHOUT_GUEST = {
  project: [
    ["192.168.20.200/24", "127.0.0.1/8"],
    ["gateway: 192.168.20.1", "gateway: 127.0.0.2"],
  ],
  prod: [
    ["debian.qcow2\n    fileName: debian.qcow2", "image.raw\n    fileName: image.raw"],
    ["timeoutSeconds: 900", "timeoutSeconds: 1"],
  ],
} as const;

/** An environment whose state knows nothing, as after the loss of the old one. */
async function withNewState(name: string): Promise<NodeJS.ProcessEnv> {
  const dir = join(workspace.dir, name);
  await mkdir(dir);
  const env = { ...apis.environment, PULUMI_BACKEND_URL: `file://${dir}` };
  expect((await workspace.pulumi(["stack", "init", "prod"], env)).code).toBe(0);
  return env;
}

async function adopt(env: NodeJS.ProcessEnv, ...more: readonly string[]): Promise<Pick<Ended, "code" | "output">> {
  const [program = "", ...args] = nodeCommand("cli/main.ts", ["adopt", "-s", "prod", ...more]);
  const options = { cwd: workspace.project, env: { ...workspace.environment, ...env }, maxBuffer: 2 ** 26 };
  return new Promise((done) => {
    execFile(program, args, options, (error, stdout, stderr) =>
      done({ code: typeof error?.code === "number" ? error.code : 0, output: `${stdout}\n${stderr}` }),
    );
  });
}

const resourceSchema = z.looseObject({
  urn: z.string(),
  custom: z.boolean(),
  id: z.string().optional(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  outputs: z.record(z.string(), z.unknown()).optional(),
  protect: z.boolean().optional(),
  parent: z.string().optional(),
});
const exportSchema = z.object({ deployment: z.object({ resources: z.array(resourceSchema).optional() }) });

async function resourcesIn(env: NodeJS.ProcessEnv): Promise<z.infer<typeof resourceSchema>[]> {
  const { output } = await workspace.pulumi(["stack", "export", "-s", "prod"], env);
  return exportSchema.parse(JSON.parse(output)).deployment.resources ?? [];
}

const stepsSchema = z.object({
  steps: z.array(z.object({ op: z.string(), urn: z.string(), replaceReasons: z.array(z.string()).nullish() })),
});

async function plannedOf(env: NodeJS.ProcessEnv): Promise<Map<string, string>> {
  const { output } = await workspace.pulumi(["preview", "-s", "prod", "--json", "--refresh"], env);
  const { steps } = stepsSchema.parse(JSON.parse(output.slice(output.indexOf("{"))));
  return new Map(steps.filter(({ op }) => op !== "refresh").map(({ op, urn }) => [urn, op]));
}

const requestSchema = z.object({ method: z.string(), path: z.string() });

/** Requests that could have changed something. */
function writes(): string[] {
  const lines = [apis.api.requestLog, apis.dnsRequestLog].flatMap((file) =>
    readFileSync(file, "utf8").trim().split("\n"),
  );
  const requests = lines.map((line) => requestSchema.parse(JSON.parse(line)));
  return requests.flatMap(({ method, path }) => (method === "GET" ? [] : [`${method} ${path}`]));
}

test("after the loss of the state everything that lives is in the new one as it was in the old, and nothing is touched", async () => {
  await workspace.write(WITHOUT_GUEST);
  const old = { ...apis.environment };
  await workspace.pulumi(["up", "-s", "prod", "--yes", "--skip-preview"], old);
  expect((await workspace.pulumi(["refresh", "-s", "prod", "--yes", "--skip-preview"], old)).code).toBe(0);
  const before = (await resourcesIn(old)).filter(({ urn }) => LIVING.includes(urn));
  expect(before.map(({ urn }) => urn).sort()).toEqual(LIVING);

  const env = await withNewState("lost");
  const written = writes().length;
  const { code, output } = await adopt(env, "--no-docker");
  if (!output.includes("resources are adopted")) throw new Error(output);
  expect(writes().slice(written)).toEqual([]);

  const after = new Map((await resourcesIn(env)).map((resource) => [resource.urn, resource]));
  for (const { urn, id, inputs, protect, parent } of before) {
    expect(after.get(urn)).toMatchObject({ urn, id, inputs, ...(protect === undefined ? {} : { protect }), parent });
  }
  const planned = await plannedOf(env);
  expect(LIVING.map((urn) => planned.get(urn) ?? "same")).toEqual(LIVING.map(() => "same"));
  expect([...new Set(planned.values())].filter((op) => op !== "same")).toEqual(["create"]);
  // What runs in the VM was left out, so it shows as missing, and that is said.
  expect(output).toContain("missing  Container miniflux");
  expect(output).toContain("create Container miniflux");
  expect(code).toBe(1);
});

test("a VM that was made by hand is taken over, shown with what differs and changed in place, never replaced", async () => {
  const { api } = apis;
  const byHand = { name: "by-hand", memory: 4096, cores: 4, scsihw: "virtio-scsi-pci", ostype: "l26" };
  const hardware = { scsi0: "local-lvm:32", net0: "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0", boot: "order=scsi0" };
  await api.task("POST", "/nodes/pve/qemu", { vmid: 200, ...byHand, ...hardware });
  await workspace.write({
    project: [
      ...WITHOUT_GUEST.project,
      ["name: docker", "name: by-hand"],
      ["cores: 2", "cores: 4"],
      ["memoryMiB: 2048", "memoryMiB: 4096"],
      ["diskGiB: 16", "diskGiB: 32"],
    ],
    prod: WITHOUT_GUEST.prod,
  });
  const env = await withNewState("by-hand");
  const { code, output } = await adopt(env, "--no-docker");
  expect(code).toBe(1);
  expect(output).toContain("found    VmLegacy docker-vm (200)");
  const shown = /^ *update VmLegacy docker-vm \((.*)\)$/m.exec(output)?.[1]?.split(", ");
  if (shown === undefined) throw new Error(output);
  expect(shown.sort()).toEqual([
    ...["agent", "cdrom", "cpu", "description", "disks", "initialization", "onBoot", "protection"],
    ...["scsiHardware", "serialDevices", "started", "tags"],
  ]);
  expect(output).not.toMatch(/^ *(?:replace|delete)/m);

  const up = await workspace.pulumi(["up", "-s", "prod", "--yes"], env);
  expect(up.output).toContain("proxmoxve:index:VmLegacy docker-vm updated");
  expect(up.output).toContain("proxmoxve:backup:Job backup-job created");
  expect(up.output).toContain("Unable to read the private SSH key");
  const schema = z.looseObject({ scsi0: z.string(), net0: z.string() });
  const config = await api.client().get("/nodes/pve/qemu/200/config", schema);
  expect(config.scsi0).toMatch(/^local-lvm:vm-200-disk-0,/);
  expect(config.net0).toContain("BC:24:11:AA:BB:CC");
  expect(config).toMatchObject({ ide2: expect.stringContaining("cloudinit") as string, onboot: 1, protection: 1 });

  const again = await adopt(env);
  expect(again.code).toBe(1);
  expect(again.output).toMatch(/Unable to adopt into stack prod: its state is not empty, it has \d+ resources?\./);
});

test("where nothing is, or a record is there twice, it refuses and leaves the state empty", async () => {
  await workspace.write(WITHOUT_GUEST);
  const env = await withNewState("refused");
  const nothing = await adopt(env, "--no-docker");
  expect(nothing).toMatchObject({
    code: 1,
    output: expect.stringContaining("nothing of what it declares exists") as string,
  });

  const dispatcher = new Agent({ connect: { ca: readFileSync(apis.environment["SSL_CERT_FILE"] ?? "") } });
  for (const content of ["127.0.0.1", "192.168.20.7"]) {
    const { statusCode } = await request(`${apis.environment["CLOUDFLARE_BASE_URL"] ?? ""}/zones/${ZONE}/dns_records`, {
      dispatcher,
      method: "POST",
      headers: { authorization: "Bearer good-token", "content-type": "application/json" },
      body: JSON.stringify({ type: "A", name: "rss.example.net", content, ttl: 300 }),
    });
    expect(statusCode).toBe(200);
  }
  await dispatcher.close();
  const twice = await adopt(env, "--no-docker");
  expect(twice.code).toBe(1);
  expect(twice.output).toMatch(
    /Unable to adopt the A record rss\.example\.net: there are 2 of it \(\w+, \w+\)\. Remove all but/,
  );
  expect(await resourcesIn(env)).toEqual([]);
});
