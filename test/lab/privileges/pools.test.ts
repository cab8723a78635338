/** What becomes of rights when a VM is destroyed, and how pools carry them over. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AccessRules } from "../../../lab/privileges/access-control";
import { AccessList } from "../../../lab/privileges/access-list";
import { type Privilege } from "../../../pve/access/privileges";
import { type Method } from "../../../lab/router";
import { type Answer, ApiLab, TOKEN } from "../api-lab";

const LIMITED = "ops@pve!limited=22222222-2222-3333-4444-555555555555";
const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma";
const QEMU = "/nodes/pve/qemu";
const VM_ROLE: readonly Privilege[] = ["VM.Allocate", "VM.Audit", "VM.Config.Options", "VM.Config.Disk"];

/** Who has the VM's role where. Archives may be read, disks made. */
async function labWith(vmRoleOn: string, more: Partial<AccessRules> = {}): Promise<ApiLab> {
  const entry = (path: string, role: string): AccessRules["acl"][number] => ({
    ...{ path, who: "ops@pve", role, propagate: true },
  });
  const access: AccessRules = {
    roles: { Vm: [...VM_ROLE], Space: ["Datastore.AllocateSpace"], Archives: ["VM.Backup"] },
    acl: [entry(vmRoleOn, "Vm"), entry("/storage", "Space"), entry("/vms/200", "Archives")],
    separatedTokens: [],
    ...more,
  };
  const api = await ApiLab.start({ apiTokens: [TOKEN, LIMITED], access });
  api.lab.guests.write(200, { current: { name: "docker" } });
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

/** Exit status of the task that the call starts, or why there is none. */
async function outcome(api: ApiLab, method: Method, path: string, form: Record<string, string> = {}): Promise<string> {
  const answer = await ask(api, method, path, form);
  if (answer.status !== 200) return answer.reason;
  const upid = String(answer.body.data);
  await api.lab.tasks.wait(upid);
  return api.lab.tasks.status(upid).exitstatus ?? "";
}

test("a destroyed VM takes the rights on its path along, for whoever had them, and its place in a pool", async () => {
  await using api = await labWith("/vms/9200", { pools: [{ poolid: "home", vms: [9200] }] });
  expect(await outcome(api, "POST", QEMU, { vmid: "9200" })).toBe("OK");
  expect(await outcome(api, "DELETE", `${QEMU}/9200`)).toBe("OK");
  expect(api.lab.pools.find("home")).toMatchObject({ vms: [] });
  expect(await outcome(api, "POST", QEMU, { vmid: "9200" })).toBe("Permission check failed");
  // What is kept on disk, as after a restart of the lab.
  const kept = new AccessList(api.lab.spec.dir, api.lab.spec.access);
  expect(kept.acl.map(({ path }) => path)).toEqual(["/storage", "/vms/200"]);
});

test("rights on a pool serve one VM after another, from its creation to its removal", async () => {
  await using api = await labWith("/pool/home", { pools: [{ poolid: "home", vms: [] }] });
  for (const name of ["first", "second"]) {
    expect(await outcome(api, "POST", QEMU, { vmid: "9200", name, pool: "home" })).toBe("OK");
    expect(api.lab.pools.find("home")).toMatchObject({ vms: [9200] });
    expect((await ask(api, "PUT", `${QEMU}/9200/config`, { description: "x" })).status).toBe(200);
    expect(await outcome(api, "DELETE", `${QEMU}/9200`)).toBe("OK");
  }
  expect(await outcome(api, "POST", QEMU, { vmid: "9200" })).toBe("Permission check failed");
  const elsewhere = { vmid: "9200", pool: "none" };
  expect(await outcome(api, "POST", QEMU, elsewhere)).toBe("Permission check failed (pool 'none' does not exist)");
});

test("a restored VM joins its pool only when it is whole, so what a failed restore leaves is out of reach", async () => {
  await using api = await labWith("/pool/home", { pools: [{ poolid: "home", vms: [] }] });
  const restore = { vmid: "9200", archive: ARCHIVE, pool: "home" };
  api.backups.onRestore = async (request) => {
    expect(api.lab.pools.find("home")).toMatchObject({ vms: [] });
    await request.writeConfig({ name: "docker" });
  };
  expect(await outcome(api, "POST", QEMU, restore)).toBe("OK");
  expect(api.lab.pools.find("home")).toMatchObject({ vms: [9200] });
  expect(await outcome(api, "DELETE", `${QEMU}/9200`)).toBe("OK");

  api.backups.onRestore = async (request) => {
    await request.removeLock();
    throw new Error("the archive is damaged");
  };
  expect(await outcome(api, "POST", QEMU, restore)).toBe("the archive is damaged");
  expect(await outcome(api, "DELETE", `${QEMU}/9200`)).toBe("Permission check failed (/vms/9200, VM.Allocate)");
});

test("what a failed restore over an empty VM of the pool leaves is still in the pool", async () => {
  await using api = await labWith("/pool/home", { pools: [{ poolid: "home", vms: [] }] });
  expect(await outcome(api, "POST", QEMU, { vmid: "9200", name: "drill", pool: "home" })).toBe("OK");
  api.backups.onRestore = async (request) => {
    await request.removeLock();
    throw new Error("the archive is damaged");
  };
  const restore = { vmid: "9200", archive: ARCHIVE, pool: "home", force: "1" };
  expect(await outcome(api, "POST", QEMU, restore)).toBe("the archive is damaged");
  expect(await outcome(api, "DELETE", `${QEMU}/9200`)).toBe("OK");
});

test("tags of a new VM take a right on the VM itself, before it is in its pool", async () => {
  const tagged = { vmid: "9200", tags: "homelab", pool: "home" };
  await using api = await labWith("/pool/home", { pools: [{ poolid: "home", vms: [] }] });
  expect(await outcome(api, "POST", QEMU, tagged)).toBe(
    "unable to create VM 9200 - Permission check failed (/vms/9200, VM.Config.Options)",
  );
  expect(api.lab.guests.exists(9200)).toBe(false);
  // A pool may name a VM that is not there.
  await using prepared = await labWith("/pool/home", { pools: [{ poolid: "home", vms: [9200] }] });
  expect(await outcome(prepared, "POST", QEMU, tagged)).toBe("OK");
});

test("archives of a VM that is gone are for those whose right does not hang on it", async () => {
  const seen = async (api: ApiLab): Promise<[number, string]> => {
    const list = await ask(api, "GET", "/nodes/pve/storage/nas/content");
    const config = await ask(api, "GET", "/nodes/pve/vzdump/extractconfig", { volume: ARCHIVE });
    return [(list.body.data as unknown[]).length, config.reason];
  };
  await using api = await labWith("/pool/home");
  expect(await seen(api)).toEqual([1, "OK"]);
  await api.task("DELETE", `${QEMU}/200`);
  expect(await seen(api)).toEqual([0, "Permission check failed (/vms/200, VM.Backup)"]);

  const everywhere = [
    { path: "/vms", who: "ops@pve", role: "Archives", propagate: true },
    { path: "/storage", who: "ops@pve", role: "Space", propagate: true },
  ];
  await using lasting = await labWith("/pool/home", { acl: everywhere });
  await lasting.task("DELETE", `${QEMU}/200`);
  expect(await seen(lasting)).toEqual([1, "OK"]);
});

test("a VM is in one pool, and is not torn out of it by accident", async () => {
  await using api = await labWith("/pool/home", {
    pools: [
      { poolid: "home", vms: [200] },
      { poolid: "away", vms: [] },
    ],
  });
  const join = async (poolid: string, more: Record<string, string | number> = {}): Promise<string> => {
    const { status, reason } = await api.call("PUT", "/pools", { poolid, vms: "200", ...more });
    return status === 200 ? "OK" : reason;
  };
  expect(await join("home")).toBe("update pools failed: VM 200 is already a pool member");
  expect(await join("away")).toBe(
    "update pools failed: VM 200 belongs already to pool 'home' and 'allow-move' is not set",
  );
  expect(await join("away", { "allow-move": 1 })).toBe("OK");
  expect(api.lab.pools.ofGuest(200)?.poolid).toBe("away");
});
