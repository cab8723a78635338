/** Production itself restored: the VM as it was, never beside or over one that is there, and never removed again. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { evidenceSchema, type Evidence } from "../../provider/contract/evidence";
import { readJournal } from "../../provider/journal";
import { DRILL_TOKENS } from "../../provider/tokens";
import { parseVmConfig } from "../../pve/vm-config";
import { type Bag, FakeDrill, RESTORE_POINT, urn, WEB_CHECKS } from "./support/fake-drill";
import { ARCHIVE } from "./support/fake-pve";

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

const emergency = (): ReturnType<FakeDrill["drill"]> => fake.drill(WEB_CHECKS, fake.emergency);

async function evidenceOf(runId: string): Promise<Evidence> {
  return evidenceSchema.parse(JSON.parse(await readFile(join(fake.evidenceDir, runId, "drill.json"), "utf8")));
}

async function onlyEvidence(): Promise<Evidence> {
  const [runId = ""] = await readdir(fake.evidenceDir);
  return evidenceOf(runId);
}

test("the VM comes back as it was in the archive, and destroy only forgets", async () => {
  const { run, states, verdict } = await emergency();
  await verdict;
  const wanted = parseVmConfig(fake.pve.archiveConfig);
  expect(fake.pve.vms.get(200)).toEqual({ config: wanted, status: "running" });
  expect(fake.pve.writes.map(({ call }) => call).filter((call) => !call.includes("/agent/"))).toEqual([
    "POST /nodes/pve/qemu",
    "POST /nodes/pve/qemu",
    "PUT /nodes/pve/qemu/200/config",
    "POST /nodes/pve/qemu/200/status/start",
  ]);
  const [empty, restore] = fake.pve.writes.map(({ parameters }) => Object.fromEntries(parameters));
  const description = `homelab-run=${run.runId}\nBeing restored from ${ARCHIVE}.\n`;
  const { name, smbios1 } = wanted;
  expect(empty).toEqual({ vmid: "200", pool: "homelab-prod", name, smbios1, description });
  expect(restore).toEqual({
    ...{ vmid: "200", archive: ARCHIVE, pool: "homelab-prod", force: "1" },
    ...{ unique: "0", start: "0", onboot: "0", protection: "0", description },
  });
  expect(await evidenceOf(run.runId)).toMatchObject({
    ...{ kind: "emergency", verdict: "passed", outage: null, target: { vmId: 200, vmName: "docker" } },
    findings: [
      "When the outage began was not stated, so RPO counts from the start of the restore.",
      expect.stringContaining("older than the RPO target") as string,
    ],
  });

  fake.pve.writes.length = 0;
  await fake.destroy(states);
  expect(fake.pve.writes).toEqual([]);
  expect(fake.pve.vms.get(200)?.status).toBe("running");
  expect((await readJournal(run.runDir)).at(-1)?.type).toBe("run-ended");
});

test("a second emergency is another run", async () => {
  const first = await emergency();
  await fake.destroy(first.states);
  fake.pve.vms.clear();
  const second = await emergency();
  await second.verdict;
  expect(second.run.runId).not.toBe(first.run.runId);
  expect((await evidenceOf(second.run.runId)).verdict).toBe("passed");
});

test("where the VM stands, nothing is changed and the refusal says what was found", async () => {
  fake.pve.vms.set(200, { config: { name: "docker", scsi0: "local-lvm:vm-200-disk-0,size=8G" }, status: "running" });
  await expect(emergency()).rejects.toThrow(
    'Unable to restore VM 200 on pve: VM 200 exists ("docker" on pve, running, with local-lvm:vm-200-disk-0). Nothing was changed. ' +
      "If it is healthy, nothing has to be restored; to see whether its backup is good, run a drill. If it is beyond repair: name " +
      "the good archive in homelab:restore.restorePoint first, because a backup of the broken VM would be the newest; stop it (qm stop " +
      '200); let it be replaced, with its disks kept under a free VMID: homelab:restore.replace {until: "<time, soon>", reason: …, ' +
      "asideVmId: …}; and run the restore again. The report is ",
  );
  expect(fake.pve.writes).toEqual([]);
  expect(await onlyEvidence()).toMatchObject({ kind: "emergency", verdict: "failed" });
});

test("a VM that was taken just before the call is never overwritten, because force is not sent", async () => {
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.emergency.lease());
  fake.pve.vms.set(200, { config: { name: "newer", scsi0: "local-lvm:vm-200-disk-0" }, status: "running" });
  const vm = await fake.create(DRILL_TOKENS.restoredVm, fake.emergency.vm(outs["run"]));
  expect(vm.outs).toMatchObject({ status: "failed", created: false });
  await fake.delete(DRILL_TOKENS.restoredVm, vm.outs);
  await fake.delete(DRILL_TOKENS.lease, outs);
  expect(fake.pve.vms.get(200)?.config["name"]).toBe("newer");
});

test("a restore that failed leaves a husk, which destroy removes without purging jobs of the VMID", async () => {
  fake.pve.restoreExit = "disk full";
  const { states, verdict } = await emergency();
  await expect(verdict).rejects.toThrow(
    "then mend what failed in VM 200, which stays, or what kept it from being restored, and run the restore again.",
  );
  await fake.destroy(states);
  expect(fake.pve.vms.size).toBe(0);
  const removal = fake.pve.writes.find(({ call }) => call.startsWith("DELETE /nodes/pve/qemu"));
  expect([...(removal?.parameters.keys() ?? [])]).not.toContain("purge");
});

test.each([
  ["another MAC address", { net0: "virtio=BC:24:11:99:99:99,bridge=vmbr0,firewall=1,tag=20" }, "net0 is "],
  ["a disk less", { scsi0: "" }, "scsi0 is missing"],
  [
    "a disk of another VM",
    { scsi0: "local-lvm:vm-201-disk-0,size=8G" },
    "disk local-lvm:vm-201-disk-0 is not the VM's own",
  ],
  ["less memory", { memory: "1024" }, "memory is 1024, not 4096"],
])("a VM that came back with %s is not started, and destroy removes it", async (_, change: Bag, text) => {
  fake.pve.afterRestore = (config) => {
    for (const [key, value] of Object.entries(change)) {
      if (value === "") Reflect.deleteProperty(config, key);
      else config[key] = String(value);
    }
  };
  const { states, verdict } = await emergency();
  await expect(verdict).rejects.toThrow(text);
  expect(fake.pve.vms.get(200)?.status).toBe("stopped");
  await fake.destroy(states);
  expect(fake.pve.vms.size).toBe(0);
});

test("a half restored VM that somebody started is not removed: it may hold new data", async () => {
  fake.pve.afterRestore = (config) => void (config["memory"] = "1024");
  const { states } = await emergency();
  const vm = fake.pve.vms.get(200);
  if (vm !== undefined) vm.status = "running";
  await expect(fake.destroy(states)).rejects.toThrow("somebody started it and it may hold new data");
});

test("after a failed check the VM stays; the next restore goes on with it and restores nothing", async () => {
  fake.pve.agentAnswers = false;
  const first = await emergency();
  await expect(first.verdict).rejects.toThrow("its verdict is failed");
  await fake.destroy(first.states);
  expect(fake.pve.vms.get(200)?.status).toBe("running");

  fake.pve.agentAnswers = true;
  fake.pve.writes.length = 0;
  const second = await emergency();
  await second.verdict;
  expect(fake.pve.writes.map(({ call }) => call).filter((call) => !call.includes("/agent/"))).toEqual([]);
  const { verdict, phases } = await evidenceOf(second.run.runId);
  expect(verdict).toBe("passed");
  expect(phases[0]).toMatchObject({ phase: "restore", detail: `restored by run ${first.run.runId}` });
});

test("a restore that goes on and dies early is gone on with again", async () => {
  fake.pve.agentAnswers = false;
  const first = await emergency();
  await fake.destroy(first.states);
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.emergency.lease());
  await fake.delete(DRILL_TOKENS.lease, outs);
  expect(fake.pve.vms.get(200)?.status).toBe("running");
  fake.pve.agentAnswers = true;
  const third = await emergency();
  await third.verdict;
  const [begun, passed] = [await evidenceOf(first.run.runId), await evidenceOf(third.run.runId)];
  // What the two before have cost is part of it.
  const seconds = (Date.parse(passed.startedAt) - Date.parse(begun.startedAt)) / 1000;
  expect(passed.rto.seconds).toBeGreaterThan(seconds);
  expect(passed.phases.reduce((sum, phase) => sum + phase.seconds, 0)).toBeCloseTo(passed.rto.seconds ?? NaN, 3);
  expect(passed.phases[0]?.seconds).toBeGreaterThanOrEqual(seconds);
  expect(passed.findings).toContain(
    `RTO counts from ${begun.startedAt}, the start of run ${first.run.runId}, which restored the VM.`,
  );
});

test("a hand-over that failed is made again by the next restore", async () => {
  fake.pve.disturb = (call) =>
    call === "PUT /nodes/pve/qemu/200/config" ? { status: 500, text: "no quorum" } : undefined;
  const first = await emergency();
  await expect(first.verdict).rejects.toThrow("no quorum");
  await fake.destroy(first.states);
  expect(fake.pve.vms.get(200)).toMatchObject({ status: "stopped", config: { onboot: "0" } });

  fake.pve.disturb = () => undefined;
  // One that goes on and dies before it comes to the hand-over.
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.emergency.lease());
  await fake.delete(DRILL_TOKENS.lease, outs);
  const third = await emergency();
  await third.verdict;
  expect(fake.pve.vms.get(200)).toEqual({ config: parseVmConfig(fake.pve.archiveConfig), status: "running" });
});

test("a password that Proxmox never shows is no deviation", async () => {
  fake.pve.archiveConfig = fake.pve.archiveConfig.replace("memory:", "cipassword: $5$hash\nmemory:");
  fake.pve.afterRestore = (config) => void (config["cipassword"] = "**********");
  const { run, verdict } = await emergency();
  await verdict;
  expect(JSON.stringify(await evidenceOf(run.runId))).not.toContain("$5$hash");
});

test("disks that a restore found and took into the configuration are not deleted with it", async () => {
  fake.pve.orphans = { "local-lvm": ["local-lvm:vm-200-disk-7"] };
  fake.pve.afterRestore = (config) => Object.assign(config, { unused0: "local-lvm:vm-200-disk-7", memory: "1024" });
  const { states } = await emergency();
  await expect(fake.destroy(states)).rejects.toThrow(
    "its configuration names disks that may have been there before the run, unused0 local-lvm:vm-200-disk-7, and Proxmox would " +
      "delete them with it.",
  );
  expect(fake.pve.vms.has(200)).toBe(true);
});

test("another archive than the one that is being gone on with is refused", async () => {
  fake.pve.agentAnswers = false;
  const first = await emergency();
  await fake.destroy(first.states);
  const restorePoint = { ...RESTORE_POINT, archive: ARCHIVE.replace("01_00_00", "01_30_00") };
  await expect(fake.create(DRILL_TOKENS.lease, { ...fake.emergency.lease(), restorePoint })).rejects.toThrow(
    `Name the former: restorePoint {choose: named, archive: ${ARCHIVE}}.`,
  );
});

test("disks of the lost VM that are still there are named and left alone", async () => {
  fake.pve.orphans = { "local-lvm": ["local-lvm:vm-200-disk-7"] };
  fake.pve.restoreExit = "disk full";
  const { run, states } = await emergency();
  await fake.destroy(states);
  expect((await evidenceOf(run.runId)).findings).toContain(
    "Disks of VM 200 without a VM were there before and were left alone: local-lvm:vm-200-disk-7. They may hold newer data than the backup.",
  );
  expect(fake.pve.orphans["local-lvm"]).toEqual(["local-lvm:vm-200-disk-7"]);
});

test("a disk that is in no backup is a finding, because its data does not come back", async () => {
  fake.pve.archiveConfig = fake.pve.archiveConfig.replace(
    "smbios1:",
    "scsi1: local-lvm:vm-200-disk-1,backup=0,size=1G\nsmbios1:",
  );
  fake.pve.afterRestore = (config) => void Reflect.deleteProperty(config, "scsi1");
  const { run, verdict } = await emergency();
  await verdict;
  expect((await evidenceOf(run.runId)).findings).toContain(
    `The archive ${ARCHIVE} does not hold scsi1 of VM 200, as for disks with backup=0: their data has no backup here and is not ` +
      "restored. Set backup=1 on them, or back them up in another way.",
  );
});

describe("the stated outage", () => {
  const check = async (outageAt: string): Promise<string[]> => {
    const answer = await fake.provider.check?.(urn(DRILL_TOKENS.lease), {}, { ...fake.emergency.lease(), outageAt });
    return (answer?.failures ?? []).map(({ property, reason }) => `${property} ${reason}`);
  };

  test("counts in the evidence", async () => {
    const outageAt = "2026-11-20T03:00:00+01:00";
    const { run } = await fake.drill(WEB_CHECKS, {
      ...fake.emergency,
      lease: () => ({ ...fake.emergency.lease(), outageAt }),
    });
    const { outage, rto, startedAt } = await evidenceOf(run.runId);
    expect(outage?.at).toBe(outageAt);
    expect(outage?.seconds).toBeCloseTo(
      (Date.parse(startedAt) - Date.parse(outageAt)) / 1000 + (rto.seconds ?? NaN),
      1,
    );
  });

  test("before the archive: the archive may hold the damage", async () => {
    expect(await check("2026-11-20T00:30:00Z")).toEqual([
      `outageAt the archive ${ARCHIVE} was made at 2026-11-20T01:00:00.000Z, after the outage began (2026-11-20T00:30:00Z), so it ` +
        'may hold the damage. Restore an older one with restorePoint {choose: before, time: "2026-11-20T00:30:00Z"}, or correct the time',
    ]);
  });

  test("in the future", async () => {
    expect(await check("2999-01-01T00:00:00Z")).toEqual(["outageAt 2999-01-01T00:00:00Z is in the future"]);
  });
});
