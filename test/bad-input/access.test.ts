/** What a stack needs to reach: asked by the provider of the lab's Proxmox API, with the exact texts. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { askCloudflare } from "../../provider/cloudflare-access";
import type { ProviderContext } from "../../provider/definition";
import { requireIsolation } from "../../provider/isolated-bridge";
import { checkAccess } from "../../provider/resources/access";
import type { Access } from "../../provider/contract/access";
import type { Privilege } from "../../pve/access/privileges";
import { ApiLab, TOKEN } from "../lab/api-lab";
import { FakePve } from "../provider/support/fake-pve";

const silent = { signal: new AbortController().signal, report: () => undefined, containerWindowMs: 0 };

function contextFor(api: ApiLab): ProviderContext {
  return { ...silent, client: api.client() };
}

test("a node of the cluster is all that a drill needs", async () => {
  await using api = await ApiLab.start();
  expect(await checkAccess(contextFor(api), { node: "pve" })).toEqual({ problems: [], warnings: [] });
});

test("an unknown node is named with those that there are", async () => {
  await using api = await ApiLab.start();
  expect(await checkAccess(contextFor(api), { node: "pve9" })).toEqual({
    problems: ['Unable to use node "pve9": the cluster has no such node. Expected: pve (homelab:node).'],
    warnings: [],
  });
});

const NEEDED =
  "A drill needs a bridge without ports, addresses and other guests: make one by hand, and apply the node's changes.";

const MISSING =
  "it does not exist, or the token may not use it and Proxmox leaves it out " +
  "(then grant SDN.Use on /sdn/zones/localnetwork/vmbr7)";

test.each([
  ["that does not exist", "vmbr7", MISSING],
  ["with an address", "vmbr0", "it has the address 192.168.20.1/24"],
])("a drill's bridge %s", async (_, isolatedBridge, problem) => {
  await using api = await ApiLab.start();
  expect(await checkAccess(contextFor(api), { node: "pve", drill: { vmId: 9200, isolatedBridge } })).toEqual({
    problems: [`Unable to restore into bridge ${isolatedBridge} of node pve: ${problem}. ${NEEDED}`],
    warnings: [],
  });
});

test("a drill's bridge with another guest on it, which is not the drill's own", async () => {
  await using api = await ApiLab.start();
  const net0 = "virtio,bridge=vmbr99";
  await api.task("POST", "/nodes/pve/qemu", { vmid: 9200, name: "docker-drill", net0 });
  const args = { node: "pve", drill: { vmId: 9200, isolatedBridge: "vmbr99" } };
  expect((await checkAccess(contextFor(api), args)).problems).toEqual([]);

  await api.task("POST", "/nodes/pve/qemu", { vmid: 105, name: "router", net0 });
  expect((await checkAccess(contextFor(api), args)).problems).toEqual([
    `Unable to restore into bridge vmbr99 of node pve: VM 105 (router) is on it. ${NEEDED}`,
  ]);
});

test("a drill's bridge with a port", async () => {
  const pve = new FakePve();
  pve.interfaces = [{ iface: "vmbr99", type: "bridge", bridge_ports: "eno2", method: "manual", active: 1 }];
  await expect(requireIsolation(pve.client(), { node: "pve", name: "vmbr99", ownVmId: 9200 })).rejects.toThrow(
    `Unable to restore into bridge vmbr99 of node pve: it has the port eno2. ${NEEDED}`,
  );
});

test("a backup job that would take a drill's VM, beside what is wrong with its bridge", async () => {
  await using api = await ApiLab.start();
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  await api.ok("POST", "/cluster/backup", { id: "nightly", schedule: "02:00", storage: "nas", all: 1, exclude: "101" });
  const job =
    "Unable to begin a drill with VM 9200 on pve: backup job nightly takes all guests and so this one too. " +
    "Take it out, or its archive would pass for a backup; on the node: pvesh set /cluster/backup/nightly --exclude 101,9200";
  const problemsOn = async (isolatedBridge: string): Promise<string[]> =>
    (await checkAccess(contextFor(api), { node: "pve", drill: { vmId: 9200, isolatedBridge } })).problems;
  expect(await problemsOn("vmbr99")).toEqual([job]);
  expect(await problemsOn("vmbr7")).toEqual([
    `Unable to restore into bridge vmbr7 of node pve: ${MISSING}. ${NEEDED}`,
    job,
  ]);
});

test("a Docker VM that runs and does not answer is a warning; one that is off or missing is prod's to start", async () => {
  await using api = await ApiLab.start();
  // Nothing listens on SSH's port there.
  const args = { node: "pve", dockerVm: { vmId: 200, address: "127.99.0.1", pool: "homelab-prod" } };
  expect(await checkAccess(contextFor(api), args)).toEqual({ problems: [], warnings: [] });

  await api.task("POST", "/nodes/pve/qemu", { vmid: 200, name: "docker", memory: 512, pool: args.dockerVm.pool });
  expect(await checkAccess(contextFor(api), args)).toEqual({ problems: [], warnings: [] });

  await api.task("POST", "/nodes/pve/qemu/200/status/start");
  expect(await checkAccess(contextFor(api), args)).toEqual({
    problems: [],
    warnings: [
      "Unable to reach the Docker VM 200 at 127.99.0.1, port 22, although it runs: ECONNREFUSED. " +
        "Changes to services will fail until it answers: look at its console, and at homelab:dockerVm.address.",
    ],
  });
});

describe("a pool", () => {
  const LIMITED = "ops@pve!limited=22222222-2222-3333-4444-555555555555";
  const REMEDY = 'Run the script that "npm run homelab -- roles" prints, as root on a Proxmox node.';
  const labWith = (privileges: readonly Privilege[], vms: number[] = []): Promise<ApiLab> =>
    ApiLab.start({
      apiTokens: [TOKEN, LIMITED],
      access: {
        roles: { Pool: [...privileges], Look: ["Sys.Audit"] },
        acl: [
          { path: "/pool/home", who: "ops@pve", role: "Pool", propagate: true },
          { path: "/nodes/pve", who: "ops@pve", role: "Look", propagate: true },
        ],
        separatedTokens: [],
        pools: [{ poolid: "home", vms }],
      },
    });
  const ask = (api: ApiLab, args: object): Promise<Access> =>
    checkAccess({ ...silent, client: api.client(LIMITED) }, { node: "pve", ...args });

  test("that a restored VM joins must be there, seen, and open to the token", async () => {
    await using api = await labWith(["Pool.Audit", "VM.Allocate"]);
    expect(await ask(api, { pool: "home" })).toEqual({ problems: [], warnings: [] });
    await using rootOnly = await ApiLab.start();
    expect((await checkAccess(contextFor(rootOnly), { node: "pve", pool: "none" })).problems).toEqual([
      `Unable to use pool "none": there is no such pool. ${REMEDY}`,
    ]);
    await using unseen = await labWith(["VM.Allocate"]);
    expect((await ask(unseen, { pool: "home" })).problems).toEqual([
      `Unable to use pool "home": the token may not see it. ${REMEDY}`,
    ]);
    await using closed = await labWith(["Pool.Audit"]);
    expect((await ask(closed, { pool: "home" })).problems).toEqual([
      `Unable to use pool "home": the token may not make VMs in it. ${REMEDY}`,
    ]);
  });

  test("that production's VM is made in must name it", async () => {
    const dockerVm = { vmId: 200, address: "127.99.0.1", pool: "home" };
    await using named = await labWith(["Pool.Audit", "VM.Allocate", "VM.Config.Options"], [200]);
    expect(await ask(named, { dockerVm })).toMatchObject({ problems: [] });
    await using api = await labWith(["Pool.Audit", "VM.Allocate", "VM.Config.Options"]);
    expect((await ask(api, { dockerVm })).problems).toEqual([
      `Unable to make VM 200 in pool "home": the pool does not name it, as after the loss of the VM. ${REMEDY}`,
    ]);
  });

  test("that does not name a lost VM is less than the archive that waits for it, and open where that can't be told yet", async () => {
    const args = {
      dockerVm: { vmId: 200, address: "127.99.0.1", pool: "home" },
      newVm: { vmId: 200, backupStorage: "nas" },
    };
    await using api = await ApiLab.start({
      apiTokens: [TOKEN, LIMITED],
      access: {
        roles: {
          Pool: ["Pool.Audit", "VM.Allocate"],
          Look: ["Sys.Audit", "Datastore.Audit", "Datastore.Allocate", "Datastore.AllocateSpace"],
        },
        acl: [
          { path: "/pool/home", who: "ops@pve", role: "Pool", propagate: true },
          ...["/nodes/pve", "/storage"].map((path) => ({ path, who: "ops@pve", role: "Look", propagate: true })),
        ],
        separatedTokens: [],
        pools: [{ poolid: "home", vms: [] }],
      },
    });
    const notNamed = `Unable to make VM 200 in pool "home": the pool does not name it, as after the loss of the VM. ${REMEDY}`;
    expect(await ask(api, args)).toEqual({ problems: [], warnings: [notNamed], lookAgain: true });

    await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
    expect((await ask(api, args)).problems).toEqual([notNamed]);
    await mkdir(join(api.lab.spec.dir, "fs/mnt/pve/nas/dump"), { recursive: true });
    await writeFile(join(api.lab.spec.dir, "fs/mnt/pve/nas/dump/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst"), "");
    expect((await ask(api, args)).problems).toEqual([
      expect.stringContaining("it does not exist, but storage nas holds an archive of it"),
    ]);
  });

  test("that production's VM is not in is a warning, and one that it is in stays", async () => {
    await using api = await ApiLab.start({
      access: { roles: {}, acl: [], separatedTokens: [], pools: [{ poolid: "media", vms: [200] }] },
    });
    api.lab.guests.write(200, { current: { name: "docker" } });
    const dockerVm = { vmId: 200, address: "127.99.0.1", pool: "homelab-prod" };
    const { problems, warnings } = await checkAccess(contextFor(api), { node: "pve", dockerVm });
    expect(problems).toEqual([]);
    expect(warnings).toContain(
      'VM 200 is not in pool "homelab-prod" (homelab:dockerVm.pool), but in pool "media": after its loss the token could not restore it, ' +
        "because Proxmox takes rights on a VM away with it. If it is to stay there, name that pool in homelab:dockerVm.pool first. " +
        REMEDY,
    );
    const there = await checkAccess(contextFor(api), { node: "pve", dockerVm: { ...dockerVm, pool: "media" } });
    expect(there.warnings.filter((warning) => warning.includes("pool"))).toEqual([]);
  });
});

describe("Cloudflare", () => {
  let server: Server;
  let answer: { status: number; body: string };
  const signal = new AbortController().signal;

  beforeAll(async () => {
    server = createServer((_request, response) => response.writeHead(answer.status).end(answer.body)).listen(0);
    await once(server, "listening");
  });
  afterAll(() => server.close());

  function ask(): ReturnType<typeof askCloudflare> {
    const { port } = server.address() as AddressInfo;
    const environment = { CLOUDFLARE_BASE_URL: `http://127.0.0.1:${port}`, CLOUDFLARE_API_TOKEN: "hunter2" };
    return askCloudflare("f".repeat(32), signal, environment);
  }

  test.each([
    [403, { code: 9109, message: "Invalid access token" }, "Invalid access token (9109)"],
    [403, { code: 10000, message: "Authentication error" }, "Authentication error (10000)"],
    [400, { code: 6003, message: "Invalid request headers" }, "Invalid request headers (6003)"],
  ])("refuses with %d %j", async (status, error, reason) => {
    answer = { status, body: JSON.stringify({ success: false, errors: [error], messages: [], result: null }) };
    expect(await ask()).toEqual({ kind: "refused", reason });
  });

  test("that has an hour off is no refusal", async () => {
    answer = { status: 503, body: "<html>busy</html>" };
    expect(await ask()).toEqual({ kind: "unanswered", reason: "status 503" });
  });
});
