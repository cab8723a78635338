/** What the API checks around a restore; the restore itself has tests of its own. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ApiLab } from "./api-lab";

const QEMU = "/nodes/pve/qemu";
const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst";

async function withArchive(run: (api: ApiLab) => Promise<void>): Promise<void> {
  await using api = await ApiLab.start();
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  const path = api.lab.volumes.pathOf(ARCHIVE);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "name: docker\n#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:\n");
  await run(api);
}

describe("a restore", () => {
  test("locks the new guest, hands everything to the engine and starts nothing", () =>
    withArchive(async (api) => {
      let lockDuring: string | undefined;
      api.backups.onRestore = async (request) => {
        lockDuring = api.lab.guests.read(9200).current["lock"];
        await request.writeConfig({ name: "drill" });
      };
      const form = {
        vmid: 9200,
        archive: ARCHIVE,
        storage: "local-lvm",
        unique: 1,
        onboot: 0,
        name: "drill",
        start: 0,
      };
      const { exitStatus, upid } = await api.task("POST", QEMU, { ...form, net0: "virtio,bridge=vmbr99" });
      expect(exitStatus).toBe("OK");
      expect(upid).toContain(":qmrestore:9200:");
      expect(lockDuring).toBe("create");
      expect(api.backups.restores).toMatchObject([
        {
          vmId: 9200,
          archivePath: api.lab.volumes.pathOf(ARCHIVE),
          archiveLabel: "/mnt/pve/nas/dump/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst",
          storage: "local-lvm",
          unique: true,
          overrides: {
            name: "drill",
            onboot: "0",
            net0: expect.stringMatching(/^virtio=BC:24:11:.*,bridge=vmbr99$/) as string,
          },
        },
      ]);
      expect(api.lab.guests.read(9200).current).toEqual({ name: "drill" });
      expect(api.machines.running.size).toBe(0);
    }));

  test("leaves the husk when it fails", () =>
    withArchive(async (api) => {
      api.backups.onRestore = async (request) => {
        await request.removeLock();
        throw new Error("got timeout reading VMA header - corrupted?");
      };
      const { exitStatus } = await api.task("POST", QEMU, { vmid: 9200, archive: ARCHIVE });
      expect(exitStatus).toBe("got timeout reading VMA header - corrupted?");
      expect(api.lab.guests.read(9200).current).toEqual({});
    }));

  test("starts in a task of its own, whose failure is not the restore's", () =>
    withArchive(async (api) => {
      await api.task("POST", QEMU, { vmid: 9200, archive: ARCHIVE, start: 1 });
      const [start] = api.lab.tasks.list();
      expect(start?.type).toBe("qmstart");
      await api.lab.tasks.wait(start?.upid ?? "");
      expect(api.machines.running.has(9200)).toBe(true);
    }));

  test("never overwrites without force, a locked or a protected guest", () =>
    withArchive(async (api) => {
      await api.task("POST", QEMU, { vmid: 200, protection: 1 });
      const restore = (form: Record<string, number>) =>
        api.call("POST", QEMU, { vmid: 200, archive: ARCHIVE, ...form });
      expect((await restore({})).reason).toBe("unable to restore VM 200 - VM 200 already exists on node 'pve'");
      const forced = await api.task("POST", QEMU, { vmid: 200, archive: ARCHIVE, force: 1 });
      expect(forced.exitStatus).toBe("unable to restore VM 200 - - protection mode enabled");
      expect(api.lab.guests.read(200).current).not.toHaveProperty("lock");
      await api.lab.guests.lock(200);
      expect((await restore({ force: 1 })).reason).toBe("unable to restore VM 200 - VM is locked (backup)");
      expect(api.backups.restores).toEqual([]);
    }));

  test.each([
    ["nas:backup/vzdump-qemu-200-2026_01_01-00_00_00.vma", 500, /^volume 'nas:backup\/.*' does not exist$/],
    ["/mnt/pve/nas/dump/x.vma", 500, /^Only root can pass arbitrary filesystem paths\.$/],
    ["local:iso/debian.iso", 500, /^unable to use volume local:iso\/debian\.iso - content type needs to be 'backup'$/],
    ["nope:backup/x.vma", 500, /^storage 'nope' does not exist$/],
    ["nas:rubbish", 500, /^unable to parse directory volume name 'rubbish'$/],
  ])("refuses %s", (archive, status, reason) =>
    withArchive(async (api) => {
      const answer = await api.call("POST", QEMU, { vmid: 9200, archive });
      expect(answer.status).toBe(status);
      expect(answer.reason).toMatch(reason);
      expect(api.lab.guests.list()).toEqual([]);
    }),
  );

  test("refuses disk keys", () =>
    withArchive(async (api) => {
      const answer = await api.call("POST", QEMU, { vmid: 9200, archive: ARCHIVE, scsi0: "local-lvm:8" });
      expect(answer.body.errors).toEqual({ scsi0: "option conflicts with option 'archive'" });
    }));

  test("reads a configuration out of an archive", () =>
    withArchive(async (api) => {
      expect(await api.ok("GET", "/nodes/pve/vzdump/extractconfig", { volume: ARCHIVE })).toContain(
        "#qmdump#map:scsi0",
      );
    }));
});
