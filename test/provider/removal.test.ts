/** What a run finds at its VMID before it begins and leaves there when it is destroyed. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { evidenceSchema } from "../../provider/contract/evidence";
import { type RunRef, runMarker } from "../../provider/contract/run";
import { journalFile, readJournal } from "../../provider/journal";
import { DRILL_TOKENS } from "../../provider/tokens";
import { type Bag, FakeDrill, urn } from "./support/fake-drill";

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

test.each([
  ["whose restore task is recorded", /(?!)/],
  ["that crashed before it could record its restore task", /^.*restore-accepted.*\n/m],
])("destroy cleans up after a run %s, by the lease alone", async (_, lost) => {
  fake.pve.restoreHangs = true;
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.leaseInputs());
  const run = outs["run"] as RunRef;
  await fake.create(DRILL_TOKENS.restoredVm, { ...fake.vmInputs(run), restoreTimeoutSeconds: 0.1 });
  const journal = journalFile(run.runDir);
  await writeFile(journal, (await readFile(journal, "utf8")).replace(lost, ""));
  await fake.provider.delete?.("id", urn(DRILL_TOKENS.lease), outs);
  expect(fake.pve.vms.size).toBe(0);
  expect((await readJournal(run.runDir)).slice(-2)).toMatchObject([
    { type: "run-ended", verdict: "aborted" },
    { type: "removed", detail: "VM 9200 on pve was removed with its disks (rest of a failed restore)" },
  ]);
});

test("an empty VM that no restore of the run made is left alone", async () => {
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.leaseInputs());
  fake.pve.vms.set(9200, { config: { memory: "512" }, status: "stopped" });
  await fake.provider.delete?.("id", urn(DRILL_TOKENS.lease), outs);
  expect(fake.pve.vms.has(9200)).toBe(true);
});

test("a run is refused when its VMID is taken, with a report that says so", async () => {
  fake.pve.vms.set(9200, { config: { name: "mine" }, status: "running" });
  const text =
    'Unable to begin a run with VM 9200 on pve: the VMID is taken by VM "mine" on pve. ' +
    "Remove it if it is left over from a drill, or configure another VMID for drills.";
  await expect(fake.lease()).rejects.toThrow(text);
  const [runId = ""] = await readdir(fake.evidenceDir);
  const evidence = evidenceSchema.parse(
    JSON.parse(await readFile(join(fake.evidenceDir, runId, "drill.json"), "utf8")),
  );
  expect(evidence).toMatchObject({
    ...{ runId, verdict: "failed", reasons: [`the run was refused before it began: ${text}`] },
    ...{ rto: { seconds: null, met: null }, rpo: { seconds: null, met: null }, phases: [], checks: [] },
  });
  expect(await readFile(join(fake.evidenceDir, runId, "report.md"), "utf8")).toContain(`${runId}: FAILED`);
});

test("destroy leaves another's VM alone, and refuses one whose proof was changed", async () => {
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.leaseInputs());
  const run = outs["run"] as RunRef;
  fake.pve.vms.set(9200, { config: { name: "mine", scsi0: "local-lvm:vm-9200-disk-0" }, status: "running" });
  await fake.provider.delete?.("id", urn(DRILL_TOKENS.lease), outs);
  expect(fake.pve.vms.has(9200)).toBe(true);
  expect((await readJournal(run.runDir)).at(-1)).toMatchObject({
    type: "finding",
    text: expect.stringContaining("was left alone") as string,
  });

  fake.pve.vms.set(9200, { config: { name: "renamed", description: runMarker(run.runId) }, status: "stopped" });
  await expect(fake.provider.delete?.("id", urn(DRILL_TOKENS.lease), outs)).rejects.toThrow(
    "carries part of the proof",
  );
});

test("destroy leaves a VM alone that took the VMID while the run's own was stopped", async () => {
  const { states, run } = await fake.drill();
  fake.pve.disturb = (call) => {
    if (!/^GET \/nodes\/pve\/tasks\/UPID:[^/]*:qmstop:[^/]*\/status$/.test(call)) return undefined;
    fake.pve.vms.set(9200, { config: { name: "mine", scsi0: "local-lvm:vm-9200-disk-0" }, status: "stopped" });
    return undefined;
  };
  await expect(fake.delete(DRILL_TOKENS.restoredVm, states.get(DRILL_TOKENS.restoredVm))).rejects.toThrow(
    `Unable to remove VM 9200 on pve: what stands there now (mine) is not of run ${run.runId} any more, and was left alone. ` +
      "Remove the cause and run pulumi destroy again.",
  );
  expect(fake.pve.vms.get(9200)?.config["name"]).toBe("mine");
  expect(fake.pve.writes.map(({ call }) => call)).not.toContain("DELETE /nodes/pve/qemu/9200");
});

test("a run whose process died is closed as aborted by the next one", async () => {
  const { outs } = await fake.create(DRILL_TOKENS.lease, fake.leaseInputs());
  const { runDir } = outs["run"] as RunRef;
  const journal = join(runDir, "journal.ndjson");
  const deadPid = 2 ** 22 - 1;
  await writeFile(journal, (await readFile(journal, "utf8")).replace(`"pid":${process.pid}`, `"pid":${deadPid}`));
  await fake.create(DRILL_TOKENS.lease, fake.leaseInputs());
  expect((await readJournal(runDir)).at(-1)).toMatchObject({ type: "run-ended", verdict: "aborted" });
  expect(JSON.parse(await readFile(join(runDir, "drill.json"), "utf8"))).toMatchObject({ verdict: "aborted" });
});

test("disks of the VMID without a VM refuse a run, on whichever storage", async () => {
  fake.pve.otherStorages = [{ storage: "tank", type: "zfspool", content: "images", active: 1, enabled: 1 }];
  fake.pve.orphans = {
    "local-lvm": ["local-lvm:vm-9200-disk-0"],
    tank: ["tank:vm-9200-disk-3", "tank:vm-92001-disk-0"],
  };
  await expect(fake.lease()).rejects.toThrow(
    "Unable to begin a run with VM 9200 on pve: there are disks of this VMID without a VM: " +
      "local-lvm:vm-9200-disk-0, tank:vm-9200-disk-3. " +
      "Remove them if they are left over from a drill (pvesm free <volume>), or configure another VMID for drills.",
  );
});

test.each([
  ["all storages were seen empty", {}, "1"],
  ["a storage was offline", { otherStorages: [{ storage: "usb", type: "dir", content: "images", active: 0 }] }, "0"],
  [
    "the token may not see all storages",
    {
      privileges: {
        "/vms": { "VM.Audit": 1 },
        "/sdn/zones/localnetwork": { "SDN.Audit": 1 },
        "/pool/homelab-drill": { "VM.Allocate": 1 },
      },
    },
    "0",
  ],
])("destroy frees disks that no configuration names only if, at the beginning, %s", async (_, state, flag) => {
  Object.assign(fake.pve, state);
  const { states } = await fake.drill();
  await fake.destroy(states);
  const call = fake.pve.writes.find(({ call: made }) => made === "DELETE /nodes/pve/qemu/9200");
  expect(Object.fromEntries(call?.parameters ?? [])).toEqual({ "destroy-unreferenced-disks": flag });
});

describe("of disks that the token may see only when the VM is in its pool", () => {
  /** What is about when the empty VM is made. */
  const atCreation = (happen: () => void): void => {
    fake.pve.disturb = (call) => {
      if (call === "POST /nodes/pve/qemu") happen();
      return undefined;
    };
  };
  const restores = (): number => fake.pve.writes.filter(({ parameters }) => parameters.has("archive")).length;

  test("none may be there: nothing is restored, and they outlive the empty VM", async () => {
    atCreation(() => (fake.pve.orphans = { "local-lvm": ["local-lvm:vm-9200-disk-0"] }));
    const { states, run } = await fake.drill();
    expect(states.get(DRILL_TOKENS.restoredVm)).toMatchObject({
      status: "failed",
      reason: expect.stringContaining("there are disks of this VMID without a VM: local-lvm:vm-9200-disk-0") as string,
    });
    expect(restores()).toBe(0);
    expect(await readJournal(run.runDir)).toContainEqual(
      expect.objectContaining({ type: "vm-made", hadNoVolumes: false }),
    );
    await fake.destroy(states);
    expect(fake.pve.vms.size).toBe(0);
    expect(fake.pve.orphans).toEqual({ "local-lvm": ["local-lvm:vm-9200-disk-0"] });
  });

  test("and a restore overwrites no VM but the run's own empty one", async () => {
    const { run } = await fake.lease();
    let calls = 0;
    fake.pve.disturb = (call) => {
      // Between the two calls somebody has put a VM of his own there.
      if (call === "GET /nodes/pve/qemu/9200/config" && ++calls === 1)
        fake.pve.vms.set(9200, { config: { name: "mine", scsi0: "local-lvm:vm-9200-disk-0" }, status: "stopped" });
      return undefined;
    };
    const { outs } = await fake.create(DRILL_TOKENS.restoredVm, fake.vmInputs(run));
    expect(outs["reason"]).toBe(
      "Unable to restore VM 9200 on pve: somebody changed the empty VM that was made for it. Look who, and run pulumi destroy.",
    );
    expect(restores()).toBe(0);
    await fake.delete(DRILL_TOKENS.restoredVm, outs);
    expect(fake.pve.vms.get(9200)?.config["name"]).toBe("mine");
  });

  test("nor that one, when it has disks meanwhile; these outlive it", async () => {
    const { run } = await fake.lease();
    let calls = 0;
    fake.pve.disturb = (call) => {
      const config = fake.pve.vms.get(9200)?.config;
      if (call === "GET /nodes/pve/qemu/9200/config" && ++calls === 1 && config !== undefined)
        config["unused0"] = "local-lvm:vm-9200-disk-0";
      return undefined;
    };
    const { outs } = await fake.create(DRILL_TOKENS.restoredVm, fake.vmInputs(run));
    expect(outs["reason"]).toBe(
      "Unable to restore VM 9200 on pve: somebody gave unused0 local-lvm:vm-9200-disk-0 to the empty VM that was made for it, and the " +
        "restore would delete that. Take these lines out of /etc/pve/qemu-server/9200.conf on the node, and run pulumi destroy.",
    );
    expect(restores()).toBe(0);
    await expect(fake.delete(DRILL_TOKENS.restoredVm, outs)).rejects.toThrow(
      "its configuration names disks that the run did not make, unused0 local-lvm:vm-9200-disk-0, and Proxmox would delete them with it.",
    );
    Reflect.deleteProperty(fake.pve.vms.get(9200)?.config ?? {}, "unused0");
    await fake.delete(DRILL_TOKENS.restoredVm, outs);
    expect(fake.pve.vms.size).toBe(0);
  });
});

test("a run that died before its restore began leaves an empty VM, which is its own", async () => {
  const { outs, run } = await fake.lease();
  fake.pve.disturb = (call) => (call === "GET /nodes/pve/storage" ? { status: 596, text: "gone" } : undefined);
  await fake.create(DRILL_TOKENS.restoredVm, fake.vmInputs(run));
  expect(fake.pve.vms.get(9200)?.config).toMatchObject({ name: "drill-docker" });
  fake.pve.disturb = () => undefined;
  await fake.delete(DRILL_TOKENS.lease, outs);
  expect(fake.pve.vms.size).toBe(0);
});

test("disks that appeared unseen are left, and destroy says so", async () => {
  fake.pve.otherStorages = [{ storage: "usb", type: "dir", content: "images", active: 0, enabled: 1 }];
  const { states, run } = await fake.drill();
  fake.pve.otherStorages = [{ storage: "usb", type: "dir", content: "images", active: 1, enabled: 1 }];
  fake.pve.orphans = { usb: ["usb:9200/vm-9200-disk-0.qcow2"] };
  await fake.destroy(states);
  expect(await readJournal(run.runDir)).toContainEqual(
    expect.objectContaining({
      type: "removed",
      detail:
        "VM 9200 on pve was removed with its disks; of its VMID there is still usb:9200/vm-9200-disk-0.qcow2, " +
        "which may not be the run's",
    }),
  );
});

describe("destroy against another cluster", () => {
  const elsewhere = async (token: string, state: Bag): Promise<void> => {
    const other = new FakeDrill(fake.evidenceDir, "other");
    await other.delete(token, state);
  };

  test("does not take a VMID without a VM for a removed VM", async () => {
    const { states, run } = await fake.drill();
    await expect(elsewhere(DRILL_TOKENS.restoredVm, states.get(DRILL_TOKENS.restoredVm) ?? {})).rejects.toThrow(
      `Unable to show that VM 9200 of run ${run.runId} is gone: other:8006 has no VM 9200, but the run was made on ` +
        "fake:8006, and no task of node pve there is the run's restore. Set PROXMOX_VE_ENDPOINT to the cluster of the run " +
        "and run pulumi destroy again. If you have made sure that the VM is gone, forget the run with pulumi state delete --all.",
    );
    await expect(elsewhere(DRILL_TOKENS.lease, states.get(DRILL_TOKENS.lease) ?? {})).rejects.toThrow("Unable to show");
  });

  test("is fine for a run that never asked for a restore", async () => {
    const { outs } = await fake.lease();
    await elsewhere(DRILL_TOKENS.lease, outs);
  });

  test("says which cluster it asked when the node does not exist there", async () => {
    const { outs, run } = await fake.lease();
    const moved = { ...outs, run: { ...run, node: "pve9" } };
    await expect(fake.delete(DRILL_TOKENS.lease, moved)).rejects.toThrow(
      /^Unable to look for VM 9200 of run \S+ on node pve9 of fake:8006: .* If this is not the cluster of the run, set PROXMOX_VE_ENDPOINT to it and run pulumi destroy again\.$/,
    );
  });
});

describe("without its journal", () => {
  const forget = async (run: RunRef): Promise<void> => rm(run.runDir, { recursive: true });

  test("a run's own VM is removed, proven by marker, name and UUID", async () => {
    const { states, run } = await fake.drill();
    await forget(run);
    await fake.destroy(states);
    expect(fake.pve.vms.size).toBe(0);
  });

  test("an empty VM may be anyone's: destroy fails and says what to do", async () => {
    fake.pve.restoreExit = "corrupted";
    const { states, run } = await fake.drill();
    await forget(run);
    await expect(fake.delete(DRILL_TOKENS.lease, states.get(DRILL_TOKENS.lease))).rejects.toThrow(
      `Unable to remove VM 9200 on pve: it is empty, as a failed restore leaves it, but the journal ${journalFile(run.runDir)} ` +
        `is missing, so nothing shows that run ${run.runId} made it. Put the journal back, or remove the VM by hand if nobody ` +
        "needs it (qm destroy 9200), and run pulumi destroy again.",
    );
    expect(fake.pve.vms.has(9200)).toBe(true);
  });
});

test("a VM that is still there after its destroy task is not taken for removed", async () => {
  const { states } = await fake.drill();
  fake.pve.destroyLies = true;
  await expect(fake.destroy(states)).rejects.toThrow(
    "Unable to remove VM 9200 on pve: its destroy task ended well, but the VM is still there. " +
      "Remove the cause and run pulumi destroy again.",
  );
});

test("a lock that a crash left is named with the command that takes it off", async () => {
  fake.pve.restoreExit = "corrupted";
  const { states } = await fake.drill();
  fake.pve.vms.set(9200, { config: { lock: "create" }, status: "stopped" });
  await expect(fake.destroy(states)).rejects.toThrow(
    "Unable to remove VM 9200 on pve: it is locked (create). Wait if a task works on it; if none does, as after a crash of " +
      'the node, run "qm unlock 9200" on pve. Then run pulumi destroy again.',
  );
});

test("a restore that someone else began at the same time is never taken for the run's", async () => {
  fake.pve.restoreHangs = true;
  const { outs, run } = await fake.lease();
  await fake.create(DRILL_TOKENS.restoredVm, { ...fake.vmInputs(run), restoreTimeoutSeconds: 0.1 });
  const journal = journalFile(run.runDir);
  await writeFile(journal, (await readFile(journal, "utf8")).replace(/^.*restore-accepted.*\n/m, ""));
  for (const task of fake.pve.tasks) task.upid = task.upid.replace("root@pam!t:", "alice@pam:");
  await fake.delete(DRILL_TOKENS.lease, outs);
  expect(fake.pve.vms.has(9200)).toBe(true);
  expect(fake.pve.tasks.some(({ running }) => running)).toBe(true);
});

test("a state that an older version recorded can still be destroyed", async () => {
  const { states, run } = await fake.drill();
  for (const [token, state] of [...states].reverse()) {
    const { storage, memoryMiB, endpoint, startedAtNode, ...older } = state;
    await fake.delete(token, {
      ...older,
      retired: [storage, memoryMiB, endpoint, startedAtNode],
      run: { ...run, more: 1 },
    });
  }
  expect(fake.pve.vms.size).toBe(0);
});

test("a state without a run says what to do", async () => {
  await expect(fake.delete(DRILL_TOKENS.lease, { node: "pve" })).rejects.toThrow(
    "Unable to end the run: its recorded state lacks what is needed (run: Invalid input: expected object, received undefined). " +
      "Remove a drill's VM by hand, never production's, and forget the run with pulumi state delete --all.",
  );
});
