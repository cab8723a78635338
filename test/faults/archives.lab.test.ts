/** Faults of the backup storage and of the archives on it. */
import { FaultLab } from "./fault-lab";

jest.setTimeout(180_000);

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start();
});
beforeEach(() => lab.reset());
afterAll(async () => {
  lab.printCounts();
  await lab[Symbol.asyncDispose]();
});

test("without a fault the drill passes, so that each failure below is the fault's", async () => {
  const { code, evidence } = await lab.up();
  expect([code, evidence?.verdict, evidence?.reasons]).toEqual([0, "passed", []]);
  await lab.expectCleanEnd();
});

test("storage-offline before: the drill is refused with evidence, and nothing is asked of Proxmox", async () => {
  lab.faults.on("storage-offline", { storage: "nas" });
  const { code, errors, evidence, writes } = await lab.up();
  expect(code).not.toBe(0);
  expect(errors.join("\n")).toContain(
    "Unable to find a restore point of VM 200 on storage nas: the storage nas is offline on pve. Check the NAS and its mount.",
  );
  expect(evidence?.verdict).toBe("failed");
  expect(writes).toEqual([]);
  await lab.expectCleanEnd();
});

test("restore-loses-storage: the restore fails with the end of its log, and destroy works while the storage is away", async () => {
  lab.faults.on("restore-loses-storage");
  const { code, evidence } = await lab.up();
  expect([code === 0, evidence?.verdict]).toEqual([false, "failed"]);
  expect(evidence?.reasons.join("\n")).toMatch(
    /phase restore failed: The Proxmox task UPID:\S+ failed: [\s\S]*End of its log:/,
  );
  expect(lab.faults.isOffline("nas")).toBe(true);
  await lab.expectCleanEnd();
});
