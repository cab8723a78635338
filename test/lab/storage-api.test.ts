/** Storages and their content by API calls. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { StorageConfig } from "../../lab/storage-config";
import { without } from "../../lab/without";
import { ApiLab } from "./api-lab";

const CONTENT = "/nodes/pve/storage/nas/content";
const URL = "https://images.example.net/image.raw";

async function withNas(run: (api: ApiLab) => Promise<void>): Promise<void> {
  await using api = await ApiLab.start();
  // What bpg v0.111 sends.
  await api.ok("POST", "/storage", {
    content: "backup",
    "create-base-path": 1,
    "create-subdirs": 1,
    disable: 0,
    nodes: "pve",
    path: "/mnt/pve/nas",
    "prune-backups": "keep-last=2",
    shared: 1,
    storage: "nas",
    type: "dir",
  });
  await run(api);
}

function putArchive(api: ApiLab, name: string): string {
  const volid = `nas:backup/${name}`;
  const path = api.lab.volumes.pathOf(volid);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "archive");
  return volid;
}

const archive = (day: number, vmId = 200): string =>
  `vzdump-qemu-${vmId}-2026_11_${String(day).padStart(2, "0")}-02_00_00.vma.zst`;

describe("storages", () => {
  test("are declared, read, changed and forgotten", () =>
    withNas(async (api) => {
      const read = {
        storage: "nas",
        type: "dir",
        path: "/mnt/pve/nas",
        content: "backup",
        nodes: "pve",
        disable: 0,
        shared: 1,
        "create-base-path": 1,
        "create-subdirs": 1,
        "prune-backups": "keep-last=2",
      };
      expect(await api.ok("GET", "/storage/nas")).toEqual({ ...read, digest: expect.any(String) as string });
      await api.ok("PUT", "/storage/nas", { shared: 0, delete: "prune-backups" });
      const changed = { ...without(read, "prune-backups"), shared: 0 };
      expect(await api.ok("GET", "/storage/nas")).toEqual({ ...changed, digest: expect.any(String) as string });
      await api.ok("DELETE", "/storage/nas");
      expect((await api.call("GET", "/storage/nas")).reason).toBe("storage 'nas' does not exist");
    }));

  test("survive a restart", () =>
    withNas(async (api) => {
      expect(new StorageConfig(api.lab.spec).list()).toEqual(api.lab.storages.list());
    }));

  test("are refused twice, of other types, and with bad retention", () =>
    withNas(async (api) => {
      const create = (form: Record<string, string>) =>
        api.call("POST", "/storage", { storage: "other", type: "dir", path: "/x", ...form });
      expect((await create({ storage: "nas" })).reason).toBe("create storage failed: storage ID 'nas' already defined");
      expect((await create({ type: "zfspool" })).status).toBe(501);
      expect((await create({ "prune-backups": "keep-sometimes=1" })).status).toBe(400);
      expect((await create({ "prune-backups": "keep-all=1,keep-last=2" })).body.errors).toEqual({
        "prune-backups": "keep-all cannot be set together with other options.",
      });
    }));

  test("may be the NFS server that the lab has, and no other", async () => {
    await using api = await ApiLab.start();
    const nfs = { type: "nfs", server: "192.168.20.5", export: "/volume1/pve", content: "backup" };
    await api.ok("POST", "/storage", { ...nfs, storage: "nas" });
    expect(await api.ok("GET", "/storage/nas")).toMatchObject({ ...nfs, path: "/mnt/pve/nas" });
    putArchive(api, archive(20));
    expect(await api.ok("GET", CONTENT)).toMatchObject([{ volid: `nas:backup/${archive(20)}` }]);
    expect((await api.call("POST", "/storage", { ...nfs, storage: "other" })).reason).toBe(
      "create storage failed: storage 'other' is not online",
    );
  });

  test("say how full they are", () =>
    withNas(async (api) => {
      await api.lab.volumes.allocateDisk("local-lvm", 200, 1024 ** 3);
      writeFileSync(api.lab.volumes.pathOf("local-lvm:vm-200-disk-0"), Buffer.alloc(1024 * 1024, 1));
      expect(await api.ok("GET", "/nodes/pve/storage/local-lvm/status")).toMatchObject({
        type: "lvmthin",
        total: 100 * 1024 ** 3,
        used: 1024 * 1024,
        avail: 100 * 1024 ** 3 - 1024 * 1024,
        active: 1,
      });
    }));
});

describe("content", () => {
  test("lists archives with the time in their name, and nothing unfinished", () =>
    withNas(async (api) => {
      const volid = putArchive(api, archive(20));
      for (const name of [
        archive(20).replace(".vma.zst", ".log"),
        archive(21).replace(".zst", ".dat"),
        `${archive(20)}.notes`,
      ])
        putArchive(api, name);
      await api.ok("PUT", `${CONTENT}/${encodeURIComponent(volid)}`, { notes: "docker\nsecond line", protected: 1 });
      expect(await api.ok("GET", CONTENT, { content: "backup", vmid: 200 })).toEqual([
        {
          volid,
          content: "backup",
          ctime: new Date(2026, 10, 20, 2, 0, 0).getTime() / 1000,
          format: "vma.zst",
          size: 7,
          subtype: "qemu",
          vmid: 200,
          notes: "docker",
          protected: 1,
        },
      ]);
      expect(await api.ok("GET", `${CONTENT}/${volid}`)).toEqual({
        path: `/mnt/pve/nas/dump/${archive(20)}`,
        size: 7,
        used: 7,
        format: "vma.zst",
        notes: "docker\nsecond line",
        protected: 1,
      });
      expect(await api.ok("GET", CONTENT, { vmid: 201 })).toEqual([]);
    }));

  test("keeps a protected archive, removes another with its files", () =>
    withNas(async (api) => {
      const volid = putArchive(api, archive(20));
      const path = `${CONTENT}/${encodeURIComponent(volid)}`;
      await api.ok("PUT", path, { protected: 1, notes: "x" });
      expect((await api.task("DELETE", path)).exitStatus).toBe(`cannot remove protected volume '${volid}' on 'nas'`);
      await api.ok("PUT", path, { protected: 0 });
      expect(await api.ok("DELETE", path, { delay: 5 })).toBeNull();
      expect(existsSync(`${api.lab.volumes.pathOf(volid)}.notes`)).toBe(false);
      expect(await api.ok("GET", CONTENT)).toEqual([]);
    }));

  test("never removes a disk that a guest uses", () =>
    withNas(async (api) => {
      await api.task("POST", "/nodes/pve/qemu", { vmid: 200, scsi0: "local-lvm:1" });
      const path = "/nodes/pve/storage/local-lvm/content/local-lvm:vm-200-disk-0";
      expect((await api.task("DELETE", path)).exitStatus).toBe("Cannot remove image, a guest with VMID '200' exists!");
    }));

  test("prunes by the storage's retention, dry and for real", () =>
    withNas(async (api) => {
      for (const day of [18, 19, 20]) putArchive(api, archive(day));
      putArchive(api, archive(1, 201));
      const marks = (await api.ok("GET", "/nodes/pve/storage/nas/prunebackups", { vmid: 200 })) as { mark: string }[];
      expect(marks.map(({ mark }) => mark)).toEqual(["remove", "keep", "keep"]);
      expect((await api.task("DELETE", "/nodes/pve/storage/nas/prunebackups", { vmid: 200 })).exitStatus).toBe("OK");
      const left = (await api.ok("GET", CONTENT)) as { volid: string }[];
      expect(left.map(({ volid }) => volid).sort()).toEqual(
        [archive(1, 201), archive(19), archive(20)].map((name) => `nas:backup/${name}`).sort(),
      );
    }));

  test("does not leave the storage", () =>
    withNas(async (api) => {
      const answer = await api.call("GET", `${CONTENT}/${encodeURIComponent("nas:backup/../../../../etc/passwd")}`);
      expect(answer.status).toBe(500);
      expect(answer.reason).toContain("unable to parse volume name");
    }));
});

describe("downloads", () => {
  const DOWNLOAD = "/nodes/pve/storage/local/download-url";

  test("come from the lab's specification, with their checksum verified", () =>
    withNas(async (api) => {
      expect(await api.ok("GET", "/nodes/pve/query-url-metadata", { url: URL, "verify-certificates": 1 })).toEqual({
        filename: "image.raw",
        size: 1024 * 1024,
        mimetype: "application/octet-stream",
      });
      const file = { content: "import", filename: "a.raw", url: URL, node: "pve", storage: "local" };
      const checksum = createHash("sha256")
        .update(Buffer.alloc(1024 * 1024, 7))
        .digest("hex");
      const wrong = { ...file, checksum: "0".repeat(64), "checksum-algorithm": "sha256" };
      expect((await api.task("POST", DOWNLOAD, wrong)).exitStatus).toBe(
        `checksum mismatch: got '${checksum}' != expect '${"0".repeat(64)}'`,
      );
      expect(await api.ok("GET", "/nodes/pve/storage/local/content", { content: "import" })).toEqual([]);
      expect((await api.task("POST", DOWNLOAD, { ...wrong, checksum })).exitStatus).toBe("OK");
      expect(await api.ok("GET", "/nodes/pve/storage/local/content", { content: "import" })).toMatchObject([
        { volid: "local:import/a.raw", format: "raw", size: 1024 * 1024 },
      ]);
      expect((await api.task("POST", DOWNLOAD, file)).exitStatus).toBe(
        "refusing to override existing file '/var/lib/vz/import/a.raw'",
      );
      expect(readFileSync(api.lab.volumes.pathOf("local:import/a.raw")).length).toBe(1024 * 1024);
    }));

  test("reach nothing else", () =>
    withNas(async (api) => {
      const answer = await api.call("POST", DOWNLOAD, {
        content: "import",
        filename: "b.raw",
        url: "https://example.org/b.raw",
      });
      expect(answer.status).toBe(500);
      expect(answer.reason).toContain("the lab's node reaches no network");
    }));
});
