/**
 * A replacement of a broken VM that ends half-way: by the death of the process at each call that changes something, and by a
 * restore that fails. No machine is needed.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BrokenVm, type Death, KEPT_DISKS, OLD_DISKS, RESTORED_DISKS } from "../support/broken-vm";

jest.setTimeout(120_000);

let broken: BrokenVm;
beforeEach(async () => {
  broken = await BrokenVm.make();
});
afterEach(async () => broken[Symbol.asyncDispose]());

test("what the failed run's report says brings the old VM back as it was", async () => {
  const old = await broken.config(200);
  broken.api.lab.faults.on("restore-fails-late");
  const { run, vm, states } = await broken.restore(broken.consent());
  expect(vm["status"]).toBe("failed");
  const report = readFileSync(join(run.runDir, "report.md"), "utf8");
  broken.api.lab.faults.allOff();
  await broken.destroy(states);
  expect(await broken.disks()).toEqual(KEPT_DISKS);

  const commands = /```sh\n([\s\S]*?)```/.exec(report)?.[1]?.trim().split("\n") ?? [];
  const pattern = /^grep -vE '([^']+)' vm-200\.conf >\/etc\/pve\/qemu-server\/200\.conf/.exec(commands[0] ?? "")?.[1];
  if (pattern === undefined) throw new Error(`No grep in the report:\n${report}`);
  const conf = readFileSync(join(run.runDir, "vm-200.conf"), "utf8")
    .split("\n")
    .filter((line) => !new RegExp(pattern).test(line));
  appendFileSync(join(broken.api.lab.spec.dir, "nodes/pve/qemu-server/200.conf"), conf.join("\n"));
  const moves = commands.flatMap((line) => {
    const [, from, disk, to, key] =
      /^qm disk move (\d+) (\w+) --target-vmid (\d+) --target-disk (\w+) &&$/.exec(line) ?? [];
    return from === undefined ? [] : [{ from, disk: disk ?? "", to: to ?? "", key: key ?? "" }];
  });
  expect(moves).toHaveLength(3);
  for (const { from, disk, to, key } of moves) {
    const form = { disk, "target-vmid": to, "target-disk": key };
    expect((await broken.api.task("POST", `/nodes/pve/qemu/${from}/move_disk`, form)).exitStatus).toBe("OK");
  }
  const kept = (config: Record<string, unknown>): unknown =>
    Object.entries(config).filter(([key]) => !["digest", "ide2", "cipassword"].includes(key));
  expect(kept(await broken.config(200))).toEqual(kept(old));
  expect(Object.values(await broken.disks()).sort()).toEqual(Object.values(OLD_DISKS).sort());
});

const DEATHS: Death[] = Array.from({ length: 9 }, (_, index) => index + 1).flatMap((at) => [
  { at, isSent: false },
  { at, isSent: true },
]);

test.each(DEATHS)(
  "a process that dies at its writing call $at (sent: $isSent) is gone on with, and nothing is lost",
  async (death) => {
    await broken.restoreUntil(death);
    expect(Object.values(await broken.disks())).toEqual(expect.arrayContaining(Object.values(OLD_DISKS)));
    await broken.clearDead();
    const { run, evidence, vm } = await broken.restore(broken.consent());
    expect(vm).toMatchObject({ status: "passed" });
    expect(await broken.disks()).toEqual({ ...KEPT_DISKS, ...RESTORED_DISKS });
    expect(evidence.aside).toMatchObject({ left: [], replaced: true });
    expect(evidence.aside?.disks).toHaveLength(3);
    const began = evidence.aside?.began ?? "";
    expect(began === run.runId).toBe(death.at === 1 && !death.isSent);
    expect(readFileSync(join(broken.evidenceDir, began, "vm-200.conf"), "utf8")).toContain("scsi1: ");
    expect(broken.forcedOverMore()).toEqual([]);
  },
);
