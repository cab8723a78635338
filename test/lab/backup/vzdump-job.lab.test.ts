/** Backup jobs, and backups of guests that do not run. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type DisposableMachineRunner } from "../../../lab/qemu";
import { writeGeneratedArchive } from "../../support/vma-generator";
import { type EngineFixture, MIB } from "./engine-fixture";
import { expectNothingLeft, makeGuest, ObservedMachines, SECOND_DISK } from "./vzdump-guest";

let fixture: EngineFixture;
let runner: DisposableMachineRunner;
let machines: ObservedMachines;

beforeEach(async () => {
  machines = new ObservedMachines();
  ({ fixture, runner } = await makeGuest(machines));
});

afterEach(async () => {
  await runner[Symbol.asyncDispose]();
  fixture.remove();
});

describe("a stopped guest", () => {
  test("is read from its disks, and stays stopped; a restore does not look at them", async () => {
    const before = fixture.volumes.read("local-lvm:vm-200-disk-0");
    const context = fixture.context();
    await fixture.backup({ compress: "gzip" }, context);
    expect(context.lines).toContain("INFO: backup mode: stop");
    expect(machines.calls).toEqual([]);
    fixture.volumes.write("local-lvm:vm-200-disk-0", 0, Buffer.alloc(24 * MIB, 0xff));
    await fixture.volumes.free("local-lvm:vm-200-disk-1");
    await fixture.restore({ archivePath: fixture.archive() }, fixture.context());
    expect(fixture.volumes.read("local-lvm:vm-9200-disk-0").equals(before)).toBe(true);
    expect(fixture.volumes.read("local-lvm:vm-9200-disk-1").subarray(0, MIB).equals(SECOND_DISK)).toBe(true);
  });

  test("that another task holds is left alone", async () => {
    fixture.locks.set(200, "create");
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain("ERROR: Backup of VM 200 failed - VM is locked (create)");
    expect(fixture.locks.get(200)).toBe("create");
  });

  test("whose disk is gone fails by name", async () => {
    await fixture.volumes.free("local-lvm:vm-200-disk-1");
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain("ERROR: Backup of VM 200 failed - volume 'local-lvm:vm-200-disk-1' does not exist");
    expectNothingLeft(fixture);
  });
});

describe("a job", () => {
  test("goes on after a guest that does not exist, and fails in the end", async () => {
    const context = fixture.context();
    await expect(fixture.backup({ vmIds: [999, 200] }, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain("ERROR: Backup of VM 999 failed - unable to find VM '999'");
    fixture.archive();
  });

  test("removes the disk copies of a lab that was killed, and nothing else", async () => {
    const left = join(fixture.tmpDir, "vzdumptmp4711_200");
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, "scsi0.qcow2"), "left over");
    writeFileSync(join(fixture.tmpDir, "other"), "");
    await fixture.backup({}, fixture.context());
    expect(readdirSync(fixture.tmpDir)).toEqual(["other"]);
  });

  test("waits for the one before it", async () => {
    const first = fixture.backup({ bandwidthLimitKiB: 8192 }, fixture.context());
    const context = fixture.context();
    const second = fixture.backup({ vmIds: [999] }, context);
    await first;
    await expect(second).rejects.toThrow("job errors");
    expect(context.lines.slice(0, 2)).toEqual([
      "INFO: trying to get global lock - waiting...",
      "INFO: got global lock",
    ]);
  });

  const guest = { vmId: 200, name: "docker", disks: [{ key: "scsi0", sizeBytes: MIB }] };
  const old = (day: number): string => writeGeneratedArchive(fixture.dumpDir, guest, new Date(2025, 0, day), "vma");

  test("prunes the guest's old archives after a new one, and no others", async () => {
    const [first, second, third] = [old(1), old(2), old(3)];
    writeFileSync(`${first}.protected`, "");
    writeFileSync(`${second}.notes`, "old");
    const other = writeGeneratedArchive(fixture.dumpDir, { ...guest, vmId: 201 }, new Date(2024, 0, 1), "vma");
    const context = fixture.context();
    await fixture.backup({ storagePruneBackups: { keepLast: 9 }, pruneBackups: { keepLast: 2 } }, context);
    expect(context.lines.join("\n")).toContain(
      `INFO: prune older backups with retention: keep-last=2\n` +
        `INFO: removing backup 'nas:backup/${basename(second)}'\n` +
        `INFO: pruned 1 backup(s) not covered by keep-retention policy\n`,
    );
    for (const path of [first, third, other]) expect(existsSync(path)).toBe(true);
    expect(existsSync(second)).toBe(false);
    expect(existsSync(`${second}.notes`)).toBe(false);
  });

  test("without removal refuses when the retention is used up", async () => {
    old(1);
    const context = fixture.context();
    await expect(fixture.backup({ remove: false, storagePruneBackups: { keepLast: 1 } }, context)).rejects.toThrow(
      "job errors",
    );
    expect(context.lines.join("\n")).toContain("There is a max backup limit of 1 enforced by the target storage");
  });

  test("of a guest without disks is refused by name", async () => {
    fixture.configs.set(200, "memory: 32\n");
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(context.lines.join("\n")).toContain("backup contains no disks");
  });
});
