/** What callers of the API may see and do with some privileges and without others. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AccessRules } from "../../../lab/privileges/access-control";
import { type Privilege } from "../../../pve/access/privileges";
import { type Method } from "../../../lab/router";
import { type Answer, ApiLab, TOKEN } from "../api-lab";

const LIMITED = "ops@pve!limited=22222222-2222-3333-4444-555555555555";
const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma";

/** A lab with VM 200 and an archive of it, and a caller with these privileges; a path ending in `!` does not propagate. */
async function labWith(granted: Readonly<Record<string, readonly Privilege[]>>): Promise<ApiLab> {
  const entries = Object.entries(granted).map(([path, privileges], index) => {
    const [role, who] = [`Role${index}`, "ops@pve"];
    return {
      role,
      privileges: [...privileges],
      acl: { path: path.replace(/!$/, ""), who, role, propagate: !/!$/.test(path) },
    };
  });
  const access: AccessRules = {
    roles: Object.fromEntries(entries.map(({ role, privileges }) => [role, privileges])),
    acl: entries.map(({ acl }) => acl),
    separatedTokens: [],
  };
  const api = await ApiLab.start({ apiTokens: [TOKEN, LIMITED], access });
  api.lab.guests.write(200, { current: { name: "docker", memory: "512", net0: "virtio,bridge=vmbr0" } });
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  const dump = join(api.lab.spec.dir, "fs", "mnt", "pve", "nas", "dump");
  mkdirSync(dump, { recursive: true });
  writeFileSync(join(dump, "vzdump-qemu-200-2026_11_20-02_00_00.vma"), "name: docker\n");
  return api;
}

async function ask(api: ApiLab, method: Method, path: string, form: Record<string, string> = {}): Promise<Answer> {
  const fields = new URLSearchParams(form).toString();
  const isQuery = method === "GET" || method === "DELETE";
  return await api.send(method, `/api2/json${path}${isQuery && fields !== "" ? `?${fields}` : ""}`, {
    token: LIMITED,
    ...(isQuery || fields === ""
      ? {}
      : { body: fields, headers: { "content-type": "application/x-www-form-urlencoded" } }),
  });
}

test("a refusal has PVE's status, reason and body", async () => {
  await using api = await labWith({});
  const refused = await ask(api, "GET", "/nodes/pve/qemu/200/config");
  expect([refused.status, refused.reason]).toEqual([403, "Permission check failed (/vms/200, VM.Audit)"]);
  expect(refused.body).toEqual({ data: null, message: "Permission check failed (/vms/200, VM.Audit)\n" });
  const any = await ask(api, "POST", "/nodes/pve/qemu/200/agent/ping");
  expect(any.reason).toBe("Permission check failed (/vms/200, VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted)");
  expect((await ask(api, "GET", "/nodes/pve/query-url-metadata", { url: "https://x" })).reason).toBe(
    "Permission check failed",
  );
});

test("lists leave out silently what may not be seen", async () => {
  await using blind = await labWith({});
  for (const path of ["/cluster/resources?type=vm", "/nodes/pve/qemu", "/nodes/pve/storage", "/storage", "/pools"])
    expect((await ask(blind, "GET", path)).body.data).toEqual([]);
  expect((await ask(blind, "GET", "/nodes/pve/network")).body.data).toEqual([]);
  const [node] = (await ask(blind, "GET", "/nodes")).body.data as Record<string, unknown>[];
  expect(node).toMatchObject({ node: "pve", status: "online" });
  expect(node).not.toHaveProperty("maxmem");

  await using api = await labWith({
    "/vms": ["VM.Audit"],
    "/storage/nas": ["Datastore.Audit"],
    "/sdn/zones/localnetwork/vmbr99": ["SDN.Use"],
  });
  expect((await ask(api, "GET", "/cluster/resources?type=vm")).body.data).toHaveLength(1);
  expect((await ask(api, "GET", "/nodes/pve/network")).body.data).toMatchObject([{ iface: "vmbr99" }]);
  expect((await ask(api, "GET", "/nodes/pve/storage")).body.data).toMatchObject([{ storage: "nas" }]);
  // Seeing the storage is not seeing the archives on it.
  expect((await ask(api, "GET", "/nodes/pve/storage/nas/content")).body.data).toEqual([]);
});

test("an archive is for those who may back its VM up and write to its storage", async () => {
  const seen = async (granted: Readonly<Record<string, readonly Privilege[]>>): Promise<[number, number]> => {
    await using api = await labWith(granted);
    const list = await ask(api, "GET", "/nodes/pve/storage/nas/content");
    const config = await ask(api, "GET", "/nodes/pve/vzdump/extractconfig", { volume: ARCHIVE });
    return [(list.body.data as unknown[] | undefined)?.length ?? 0, config.status];
  };
  expect(await seen({ "/storage/nas": ["Datastore.AllocateSpace"] })).toEqual([0, 403]);
  expect(await seen({ "/vms/200": ["VM.Backup"], "/storage/nas": ["Datastore.Audit"] })).toEqual([0, 403]);
  expect(await seen({ "/vms/200": ["VM.Backup"], "/storage/nas": ["Datastore.AllocateSpace"] })).toEqual([1, 200]);
  // The storage's administrator lists everything, but its contents are still the VM's.
  expect(await seen({ "/storage/nas": ["Datastore.Allocate", "Datastore.Audit"] })).toEqual([1, 403]);
});

const RESTORE = { vmid: "9200", archive: ARCHIVE, storage: "local-lvm", name: "drill", net0: "virtio,bridge=vmbr99" };
const ALL_FOR_RESTORE = {
  "/vms/200": ["VM.Backup"],
  "/vms/9200": ["VM.Allocate", "VM.Config.Options", "VM.Config.Network"],
  "/storage/nas": ["Datastore.AllocateSpace"],
  "/storage/local-lvm": ["Datastore.AllocateSpace"],
  "/sdn/zones/localnetwork/vmbr99": ["SDN.Use"],
} as const;

test.each([
  ["/vms/200", "Permission check failed (/vms/200, VM.Backup)"],
  ["/vms/9200", "Permission check failed"],
  ["/storage/nas", "Permission check failed (/storage/nas, Datastore.AllocateSpace)"],
  ["/storage/local-lvm", "Permission check failed (/storage/local-lvm, Datastore.AllocateSpace)"],
  ["/sdn/zones/localnetwork/vmbr99", "Permission check failed (/sdn/zones/localnetwork/vmbr99, SDN.Use)"],
])("a restore without what is granted on %s is refused and leaves nothing", async (path, reason) => {
  await using api = await labWith({ ...ALL_FOR_RESTORE, [path]: [] });
  expect(await ask(api, "POST", "/nodes/pve/qemu", RESTORE)).toMatchObject({ status: 403, reason });
  expect(api.lab.guests.list()).toEqual([200]);
  expect(api.backups.restores).toEqual([]);
});

test("a restore with all of it begins; a bridge that only the archive names fails its task", async () => {
  await using api = await labWith(ALL_FOR_RESTORE);
  api.backups.onRestore = (request) => request.writeConfig({ name: "drill", net1: "virtio,bridge=vmbr0" });
  const answer = await ask(api, "POST", "/nodes/pve/qemu", RESTORE);
  const upid = String(answer.body.data);
  await api.lab.tasks.wait(upid);
  expect(api.lab.tasks.status(upid).exitstatus).toBe(
    "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)",
  );
});

test("overwriting a VM by a restore takes no more than VM.Backup, which is why protection matters", async () => {
  await using api = await labWith({
    "/vms/200": ["VM.Backup"],
    "/storage/nas": ["Datastore.AllocateSpace"],
    "/storage/local-lvm": ["Datastore.AllocateSpace"],
  });
  const overwrite = { vmid: "200", archive: ARCHIVE, force: "1", storage: "local-lvm" };
  const outcome = async (): Promise<string | undefined> => {
    const upid = String((await ask(api, "POST", "/nodes/pve/qemu", overwrite)).body.data);
    await api.lab.tasks.wait(upid);
    return api.lab.tasks.status(upid).exitstatus;
  };
  api.lab.guests.write(200, { current: { name: "docker", protection: "1" } });
  expect(await outcome()).toBe("unable to restore VM 200 - - protection mode enabled");
  expect(api.backups.restores).toEqual([]);
  api.lab.guests.write(200, { current: { name: "docker" } });
  expect(await outcome()).toBe("OK");
});

test.each([
  [{ memory: "1024" }, "VM.Config.Memory"],
  [{ cores: "2" }, "VM.Config.CPU"],
  [{ onboot: "0" }, "VM.Config.Options"],
  [{ tags: "x" }, "VM.Config.Options"],
  [{ scsihw: "virtio-scsi-pci" }, "VM.Config.HWType"],
  [{ boot: "order=net0" }, "VM.Config.Disk"],
  [{ net0: "virtio,bridge=vmbr0" }, "VM.Config.Network"],
  [{ ciuser: "x" }, "VM.Config.Cloudinit|VM.Config.Network"],
  [{ delete: "memory" }, "VM.Config.Memory"],
] as const)("changing %j takes %s", async (form, privilege) => {
  const others = ["VM.Config.Memory", "VM.Config.CPU", "VM.Config.Options"] as const;
  const other = others.find((one) => one !== privilege) ?? "VM.Config.CPU";
  await using api = await labWith({ "/vms/200": [other] });
  expect((await ask(api, "PUT", "/nodes/pve/qemu/200/config", form)).reason).toBe(
    `Permission check failed (/vms/200, ${privilege})`,
  );
});

test("a backup is checked again in its task, guest by guest", async () => {
  await using api = await labWith({ "/storage/nas": ["Datastore.AllocateSpace"] });
  const run = async (form: Record<string, string>): Promise<string | undefined> => {
    const upid = String((await ask(api, "POST", "/nodes/pve/vzdump", { storage: "nas", ...form })).body.data);
    await api.lab.tasks.wait(upid);
    return api.lab.tasks.status(upid).exitstatus;
  };
  expect(await run({ vmid: "200" })).toBe("Permission check failed (/vms/200, VM.Backup)");
  expect(await run({ all: "1" })).toBe("OK");
  expect(api.backups.vzdumps.map(({ vmIds }) => vmIds)).toEqual([[]]);
  const pruning = await ask(api, "POST", "/nodes/pve/vzdump", {
    storage: "nas",
    vmid: "200",
    "prune-backups": "keep-last=1",
  });
  expect(pruning.reason).toBe("Permission check failed (/storage/nas, Datastore.Allocate)");
});

test("another token's tasks are seen by auditors of the node only", async () => {
  await using api = await labWith({ "/nodes/pve": ["Sys.Audit"] });
  const { upid } = await api.task("POST", "/nodes/pve/qemu/200/status/start");
  const path = `/nodes/pve/tasks/${encodeURIComponent(upid)}`;
  expect((await ask(api, "GET", `${path}/status`)).status).toBe(200);
  expect((await ask(api, "DELETE", path)).reason).toBe("Permission check failed (/nodes/pve, Sys.Modify)");
  await using blind = await labWith({});
  const other = await blind.task("POST", "/nodes/pve/qemu/200/status/start");
  const status = await ask(blind, "GET", `/nodes/pve/tasks/${encodeURIComponent(other.upid)}/status`);
  expect(status.reason).toBe("Permission check failed (/nodes/pve, Sys.Audit)");
  expect((await ask(blind, "GET", "/nodes/pve/tasks", { source: "all" })).body.data).toEqual([]);
});

test("permissions are told with their reach, and of others only to auditors", async () => {
  await using api = await labWith({ "/vms": ["VM.Audit"], "/!": ["Sys.Modify"] });
  expect((await ask(api, "GET", "/access/permissions")).body.data).toEqual({
    "/": { "Sys.Modify": 0 },
    "/vms": { "VM.Audit": 1 },
  });
  expect((await ask(api, "GET", "/access/permissions", { path: "/vms/300" })).body.data).toEqual({
    "/vms/300": { "VM.Audit": 1 },
  });
  expect((await ask(api, "GET", "/access/permissions", { userid: "root@pam" })).reason).toBe(
    "Permission check failed (/access, Sys.Audit)",
  );
});
