/** Faults of the backup storage and of the archives on it. */
import { renameSync, truncateSync } from "node:fs";
import { basename } from "node:path";
import { expectUndisturbed, FaultLab, GUEST } from "./fault-lab";

jest.setTimeout(300_000);

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start();
});
beforeEach(() => lab.reset());
afterAll(async () => {
  lab.printCounts();
  await lab[Symbol.asyncDispose]();
});

test("without a fault nothing disturbs the drill, so that each failure below is the fault's", async () => {
  expectUndisturbed(await lab.up());
  await lab.expectCleanEnd();
});

test("storage-offline before: the drill is refused with evidence, and nothing is asked of Proxmox", async () => {
  lab.faults.on("storage-offline", { storage: "nas" });
  const { code, errors, evidence, writes } = await lab.up();
  expect(code).not.toBe(0);
  expect(errors.join("\n")).toContain(
    "Unable to find a restore point of VM 200 on storage nas: the storage nas is offline on pve. Check the NAS and its mount.",
  );
  expect([evidence?.verdict, writes]).toEqual(["failed", []]);
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

test.each(["archive-truncated", "archive-bit-flipped"] as const)(
  "%s: the restore fails with the end of its log, no check runs, and destroy leaves nothing",
  async (fault) => {
    lab.faults.on(fault);
    const { code, evidence } = await lab.up();
    expect([code === 0, evidence?.verdict, evidence?.rto.seconds]).toEqual([false, "failed", null]);
    expect(evidence?.reasons.join("\n")).toMatch(
      /phase restore failed: The Proxmox task UPID:\S+ failed: [\s\S]*End of its log:[\s\S]*zstd/,
    );
    expect(evidence?.checks.map(({ status }) => status)).toEqual(["skipped"]);
    await lab.expectCleanEnd();
  },
);

test("an empty archive that is the newest is refused by name with evidence, and the older good one is not taken for it", async () => {
  truncateSync(lab.archive(0), 0);
  const { code, errors, evidence, writes } = await lab.up();
  expect(code).not.toBe(0);
  expect(errors.join("\n")).toMatch(
    /Unable to use the archive nas:backup\/vzdump-qemu-200-\S+: it is empty\. Name another archive explicitly\./,
  );
  expect([evidence?.verdict, writes]).toEqual(["failed", []]);
  await lab.expectCleanEnd();
});

test("newer archives of another VM and one that is still being written are passed over", async () => {
  lab.archive(0, { ...GUEST, vmId: 201, name: "other" });
  const unfinished = lab.archive(0);
  renameSync(unfinished, unfinished.replace(/\.vma\.zst$/, ".vma.dat"));
  const outcome = await lab.up();
  expectUndisturbed(outcome);
  const { evidence } = outcome;
  expect(evidence?.source.archive).not.toContain(basename(unfinished).replace(/\.vma\.zst$/, ""));
  expect(evidence?.source.archiveAgeSeconds).toBeGreaterThanOrEqual(60);
  await lab.expectCleanEnd();
});
