/**
 * A broken VM 200 that still stands is replaced by consent, and its disks are kept byte by byte. On the lab's API with its real
 * restore engine, without Pulumi. What is refused, and what happens when the process dies, stands in `replacement/`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { asideSummary } from "../../provider/aside-report";
import { appendEvent } from "../../provider/journal";
import { ASIDE_VM, BrokenVm, KEPT_DISKS, RESTORED_DISKS } from "./support/broken-vm";

jest.setTimeout(120_000);

let broken: BrokenVm;
let writesBefore: number;
beforeEach(async () => {
  broken = await BrokenVm.make();
  writesBefore = broken.writes().length;
});
afterEach(async () => broken[Symbol.asyncDispose]());

const writes = (): string[] => broken.writes().slice(writesBefore);

test("its disks are kept under another VMID with every byte, the VM comes back from the archive, and nothing is overwritten", async () => {
  const old = await broken.config(200);
  const { run, vm, evidence } = await broken.restore(broken.consent());
  expect(vm).toMatchObject({ status: "passed" });
  expect(writes()).toEqual([
    "POST /nodes/pve/qemu",
    ...["scsi0", "scsi1", "unused0"].map(() => "POST /nodes/pve/qemu/200/move_disk"),
    "PUT /nodes/pve/qemu/200/config",
    "DELETE /nodes/pve/qemu/200",
    // An empty VM of the run, and the archive into it.
    "POST /nodes/pve/qemu",
    "POST /nodes/pve/qemu",
    "PUT /nodes/pve/qemu/200/config",
  ]);
  expect(broken.forcedOverMore()).toEqual([]);
  expect(readFileSync(broken.api.requestLog, "utf8")).toMatch(/"force"/);
  expect(await broken.disks()).toEqual({ ...KEPT_DISKS, ...RESTORED_DISKS });
  const aside = await broken.config(ASIDE_VM);
  expect(aside).toMatchObject({ name: "docker-aside", onboot: 0, protection: 1 });
  expect(broken.api.lab.pools.ofGuest(ASIDE_VM)?.poolid).toBe("homelab-prod");
  expect(Object.keys(aside).filter((key) => /^(net|boot|ide)/.test(key))).toEqual([]);
  expect(aside).toMatchObject({
    scsi1: expect.stringContaining("backup=0") as string,
    unused0: "local:8200/vm-8200-disk-0.raw",
  });
  expect(aside["description"]).toContain(`homelab-aside=${run.runId}\nhomelab-aside-of=200 docker 11111111-`);
  expect(await broken.config(200)).toMatchObject({ name: "docker", onboot: 1, protection: 1, net0: old["net0"] });
  expect(await broken.api.ok("GET", "/cluster/backup")).toMatchObject([{ id: "nightly", vmid: "200" }]);

  const kept = readFileSync(join(run.runDir, "vm-200.conf"), "utf8");
  expect(kept).toMatch(
    /^#Docker host\n[\s\S]*^net0: virtio=BC:24:11:00:02:00,bridge=vmbr0\n[\s\S]*^scsi1: local-lvm:vm-200-disk-1,backup=0/m,
  );
  expect(kept).not.toMatch(/cipassword|digest/);
  expect(evidence.aside).toEqual({
    ...{ vmId: ASIDE_VM, name: "docker-aside", began: run.runId, left: [], replaced: true },
    disks: [
      { disk: "scsi0", volume: "local-lvm:vm-8200-disk-0" },
      { disk: "scsi1", volume: "local-lvm:vm-8200-disk-1" },
      { disk: "unused0", volume: "local:8200/vm-8200-disk-0.raw" },
    ],
  });
  expect(evidence.findings.join("\n")).toMatch(
    /^VM 200 \("docker"\) stands and is replaced by consent until \S+: Its root disk is damaged\./m,
  );
  expect(await broken.events(run)).toEqual([
    ...["run-started", "finding", "finding", "replacing"],
    ...["disk-set-aside scsi0", "disk-set-aside scsi1", "disk-set-aside unused0", "replaced"],
    ...["restore-requested", "vm-made", "restore-accepted", "phase-ended", "handed-over", "phase-ended"],
  ]);
});

test("a VM that is changed after the run has begun is not touched", async () => {
  const { api } = broken;
  const restored = broken.restore(broken.consent(), undefined, async () => {
    await api.ok("PUT", "/nodes/pve/qemu/200/config", { memory: 1024 });
  });
  const { vm } = await restored;
  expect(vm).toMatchObject({
    status: "failed",
    reason: expect.stringContaining(
      "its configuration was changed, so somebody else works on it. None of its disks was deleted.",
    ) as string,
  });
  expect(writes().filter((call) => !call.startsWith("PUT"))).toEqual([]);
});

test("a VM that another operator restored after the run has begun is not replaced", async () => {
  const { api } = broken;
  await api.ok("PUT", "/nodes/pve/qemu/200/config", { protection: 0 });
  await api.task("DELETE", "/nodes/pve/qemu/200", { "destroy-unreferenced-disks": 1 });
  const { vm } = await broken.restore(broken.consent(), undefined, async () => {
    await api.task("POST", "/nodes/pve/qemu", { vmid: 200, archive: broken.archive });
  });
  expect(vm).toMatchObject({ status: "failed", reason: expect.stringContaining("VM 200 already exists") as string });
  expect(await broken.disks()).toEqual(RESTORED_DISKS);
});

test("a lost VM is restored whatever the consent says, and a VM that happens to have the VMID for the disks is left alone", async () => {
  const { api } = broken;
  await api.ok("PUT", "/nodes/pve/qemu/200/config", { protection: 0 });
  await api.task("DELETE", "/nodes/pve/qemu/200", { "destroy-unreferenced-disks": 1 });
  await api.task("POST", "/nodes/pve/qemu", { vmid: ASIDE_VM, name: "mine" });
  const { vm, evidence } = await broken.restore(broken.consent({ until: "2026-01-01T00:00:00Z" }));
  expect(vm).toMatchObject({ status: "passed" });
  expect(evidence.aside).toBeNull();
});

test("disks that an earlier emergency kept are not told as this one's deed", async () => {
  const { api } = broken;
  const first = await broken.restore(broken.consent());
  await appendEvent(first.run, { type: "run-ended", verdict: "passed", reasons: [] });
  await api.ok("PUT", "/nodes/pve/qemu/200/config", { protection: 0 });
  await api.task("DELETE", "/nodes/pve/qemu/200", { "destroy-unreferenced-disks": 1 });
  const { run, vm, evidence } = await broken.restore(broken.consent());
  expect([vm["status"], run.resumes, evidence.aside?.began]).toEqual(["passed", undefined, first.run.runId]);
  expect(evidence.findings).toContain(
    `VM 8200 ("docker-aside") keeps disks of an old VM 200 since run ${first.run.runId}; this run replaced nothing.`,
  );
  expect(readFileSync(join(run.runDir, "report.md"), "utf8")).toContain(
    `Disks that VM 8200 ("docker-aside") on pve keeps since run ${first.run.runId}, by renaming:`,
  );
  expect(asideSummary(evidence)).toContain(
    `keeps scsi0, scsi1, unused0 of the old VM 200 since run ${first.run.runId};`,
  );
});

test("a restored VM that did not pass is gone on with, unless another archive is chosen: then it is replaced too", async () => {
  const { run } = await broken.restore(broken.consent());
  const second = await broken.restore(broken.consent());
  expect(second.run.resumes).toBe(run.runId);
  expect(second.evidence.aside).toMatchObject({ began: run.runId, replaced: true });

  broken.chooseOlder();
  await expect(broken.restore(undefined)).rejects.toThrow(
    `Unable to go on with VM 200 on pve: run ${second.run.runId} restored it`,
  );
  const third = await broken.restore(broken.consent({ asideVmId: 8201 }));
  expect(third.vm).toMatchObject({ status: "passed" });
  expect(await broken.disks()).toEqual({
    ...KEPT_DISKS,
    ...RESTORED_DISKS,
    "local-lvm:vm-8201-disk-0": "from the archive",
  });
});
