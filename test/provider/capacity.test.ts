import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { needsOf } from "../../provider/capacity";
import { DRILL_TOKENS } from "../../provider/tokens";
import { type Bag, FakeDrill, urn } from "./support/fake-drill";
import { ARCHIVE } from "./support/fake-pve";

const GIB = 2 ** 30;

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

const check = async (news: Bag, olds: Bag = {}): Promise<string[]> =>
  ((await fake.provider.check?.(urn(DRILL_TOKENS.lease), olds, news))?.failures ?? []).map(({ reason }) => reason);

test("needs are all disks at full size, EFI, TPM and cloud-init drives included, and the memory", () => {
  const config = [
    "efidisk0: local-lvm:vm-200-disk-1,efitype=4m,size=4M",
    "ide0: local:iso/debian.iso,media=cdrom,size=700M",
    "ide2: local-lvm:vm-200-cloudinit,media=cdrom,size=4M",
    "memory: current=3072",
    "scsi0: local-lvm:vm-200-disk-0,size=8G",
    "scsi1: local-lvm:vm-200-disk-2,size=2560M,backup=0",
    "tpmstate0: local-lvm:vm-200-disk-3,size=4M,version=v2.0",
    "unused0: local-lvm:vm-200-disk-9",
  ];
  const mapped = ["efidisk0", "scsi0", "tpmstate0"].map((key) => `#qmdump#map:${key}:drive-${key}:local-lvm:raw:`);
  expect(needsOf([...mapped, ...config].join("\n"))).toEqual({
    disks: new Map([["local-lvm", { bytes: 8 * GIB + 12 * 2 ** 20, unsized: [] }]]),
    memoryBytes: 3 * GIB,
  });
  expect(needsOf("scsi0: a:vm-200-disk-0\nscsi1: a:vm-200-disk-1,size=1G\n", 2048)).toEqual({
    disks: new Map([["a", { bytes: GIB, unsized: ["scsi0"] }]]),
    memoryBytes: 2 * GIB,
  });
  expect(needsOf("").memoryBytes).toBe(512 * 2 ** 20);
});

test("a preview refuses what has no room, with both numbers of each, and a run has none either", async () => {
  fake.pve.diskStorage = { ...fake.pve.diskStorage, avail: 8.5 * GIB };
  fake.pve.memory = { ...fake.pve.memory, available: 1.25 * GIB };
  const storage =
    "storage local-lvm has 8.5 GiB left and the archive's disks need 8.8 GiB (8.0 GiB and 10 % to spare). " +
    "Make room on it, or set drill.storage to another one";
  const memory =
    "node pve has 1.3 GiB of memory left and the VM needs 1.5 GiB (1.0 GiB and 0.5 GiB to spare). " +
    "Set drill.memoryMiB to less, or stop other guests. If it is ZFS' cache (ARC) that takes it, which counts as used, " +
    "limit that on the node (zfs_arc_max)";
  expect(await check(fake.leaseInputs())).toEqual([
    `has no room for ${ARCHIVE}: ${storage}`,
    `has no room for ${ARCHIVE}: ${memory}`,
  ]);
  await expect(fake.provider.create?.(urn(DRILL_TOKENS.lease), fake.leaseInputs())).rejects.toThrow(
    `Unable to restore ${ARCHIVE}: ${storage}; ${memory}. The report is `,
  );
  expect(fake.pve.writes).toEqual([]);
});

test("room that was lost since the run began refuses the restore, before anything is changed", async () => {
  const { run } = await fake.lease();
  fake.pve.diskStorage = { ...fake.pve.diskStorage, avail: 3 * GIB };
  const { outs } = await fake.create(DRILL_TOKENS.restoredVm, fake.vmInputs(run));
  expect(outs).toMatchObject({
    status: "failed",
    reason:
      `Unable to restore ${ARCHIVE}: storage local-lvm has 3.0 GiB left and the archive's disks need 8.8 GiB ` +
      "(8.0 GiB and 10 % to spare). Make room on it, or set drill.storage to another one.",
  });
  expect(fake.pve.writes).toEqual([]);
});

test("a standing drill is told that it stands, not that it takes the room", async () => {
  fake.pve.memory = { ...fake.pve.memory, available: 0 };
  const reasons = await check(fake.leaseInputs(), fake.leaseInputs());
  expect(reasons).toEqual([expect.stringContaining("still stands") as string]);
});

test.each([
  ["offline", { active: 0 }, "storage local-lvm is offline on pve. Bring it back, or set drill.storage to another one"],
  ["disabled", { enabled: 0 }, "storage local-lvm is disabled. Enable it, or set drill.storage to another one"],
  [
    "without disks",
    { content: "backup,iso" },
    "storage local-lvm takes no disks, only backup,iso. Set drill.storage to one with content images",
  ],
  ["unknown", { storage: "fast" }, "node pve has no storage local-lvm. Correct drill.storage"],
])("a target storage that is %s is refused at preview", async (_, change, text) => {
  fake.pve.diskStorage = { ...fake.pve.diskStorage, ...change };
  expect(await check(fake.leaseInputs())).toEqual([`has no room for ${ARCHIVE}: ${text}`]);
});

test("an archive whose configuration can't be read begins a run that fails, because that is what a drill is for", async () => {
  fake.pve.archiveIsDamaged = true;
  const { run, verdict } = await fake.drill();
  await expect(verdict).rejects.toThrow(
    `Unable to read the configuration inside the archive ${ARCHIVE}: Unable to GET /nodes/pve/vzdump/extractconfig: ` +
      "unable to extract config: vma blob is corrupt. See the task log and the system log of the node. " +
      "The archive may be damaged: verify it, and drill an older one.",
  );
  expect(await readFile(join(run.runDir, "report.md"), "utf8")).toContain(`${run.runId}: FAILED`);
  expect(fake.pve.writes).toEqual([]);
});
