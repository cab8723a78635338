/** No empty VM takes the place of a lost one while there is an archive of it. */
import { isLookNeededAgain } from "../../provider/empty-vm";
import { ARCHIVE, FakePve, NODE } from "./support/fake-pve";

const WANTED = { vmId: 200, backupStorage: "nas" };
let pve: FakePve;
beforeEach(() => {
  pve = new FakePve();
});

const look = (args = WANTED): Promise<boolean> => isLookNeededAgain(pve.client(), NODE, args);

test("an archive of a VM that is not there refuses, with the newest and what to do", async () => {
  pve.backups.push({ ...pve.backups[0], volid: "nas:backup/vzdump-qemu-200-2026_11_19-01_00_00.vma.zst", ctime: 1 });
  await expect(look()).rejects.toThrow(
    `Unable to make VM 200 on pve: it does not exist, but storage nas holds 2 archives of it, the newest ${ARCHIVE} of ` +
      "2026-11-20T01:00:00.000Z. An empty VM would take its place, be backed up, and in time prune these. Run pulumi up -s " +
      'restore. If it is to begin anew, say so: homelab:consent [{action: create, resource: docker-vm, until: "<time, soon>", reason: …}].',
  );
});

test("a VM that is there is nobody's business here", async () => {
  pve.vms.set(200, { config: { name: "docker" }, status: "running" });
  await expect(look()).resolves.toBe(false);
});

test("a first VM, without any archive, may be made", async () => {
  pve.backups = [];
  await expect(look()).resolves.toBe(false);
});

test("an empty list proves nothing when the token could not see backups", async () => {
  pve.backups = [];
  pve.privileges = {};
  await expect(look()).rejects.toThrow(
    "Unable to make VM 200 on pve: the list of backups is empty, but the token may not see backups of VM 200, so that proves nothing.",
  );
});

test("a storage that is offline tells nothing", async () => {
  pve.storage = { ...pve.storage, active: 0 };
  await expect(look()).rejects.toThrow(
    "Unable to make VM 200 on pve: it does not exist, and whether storage nas holds archives of it can't be told, because it is offline.",
  );
});

test("a storage that is not defined yet has to be looked at again when it is made", async () => {
  await expect(look({ vmId: 200, backupStorage: "vault" })).resolves.toBe(true);
});
