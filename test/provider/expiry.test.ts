/** What a drill writes on its VM, what is read from it, and how long its removal may take. */
import { type RunRef, runMarker } from "../../provider/contract/run";
import { markOn, ownershipOf } from "../../provider/ownership";
import { DRILL_TOKENS } from "../../provider/tokens";
import { FakeDrill, urn } from "./support/fake-drill";

const RUN = "20261120T120000Z-drill-abcdef";

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

async function restored(lease: Record<string, unknown>): Promise<{ run: RunRef; config: Record<string, string> }> {
  const { outs } = await fake.create(DRILL_TOKENS.lease, { ...fake.leaseInputs(), ...lease });
  const run = outs["run"] as RunRef;
  await fake.create(DRILL_TOKENS.restoredVm, fake.vmInputs(run));
  const vm = fake.pve.vms.get(9200);
  if (vm === undefined) throw new Error("Nothing was restored.");
  return { run, config: vm.config };
}

test("a drill's VM carries run and expiry, counted from the start, and is still proved by the run alone", async () => {
  const before = Date.now();
  const { run, config } = await restored({ expiresAfterHours: 24 });
  const hours = (Date.parse(run.expiresAt ?? "") - before) / 3_600_000;
  expect(hours).toBeGreaterThanOrEqual(24);
  expect(hours).toBeLessThan(24.02);
  expect(config["description"]?.split("\n").slice(0, 2)).toEqual([
    `homelab-run=${run.runId}`,
    `homelab-expires=${run.expiresAt ?? ""}`,
  ]);
  expect(markOn(config)).toEqual({ runId: run.runId, expiresAt: new Date(run.expiresAt ?? "") });
  expect(ownershipOf(config, run)).toBe("own");
});

test("without an expiry the mark is as it was in older versions", async () => {
  const { run, config } = await restored({});
  expect(markOn(config)).toEqual({ runId: run.runId });
  expect(ownershipOf(config, run)).toBe("own");
});

test.each<[string, string | undefined, ReturnType<typeof markOn>]>([
  ["none", undefined, undefined],
  ["other text", "Docker host\nhomelab", undefined],
  ["a mark between other lines", `mine\n ${runMarker(RUN)} \r\nmore`, { runId: RUN }],
  ["a time without zone", `${runMarker(RUN)}\nhomelab-expires=2026-11-21T12:00:00`, { runId: RUN }],
  ["no time", `${runMarker(RUN)}\nhomelab-expires=2026-13-41T12:00:00Z`, { runId: RUN }],
  [
    "a time without seconds",
    `homelab-expires=2026-11-21T12:00Z\n${runMarker(RUN)}`,
    { runId: RUN, expiresAt: new Date("2026-11-21T12:00:00Z") },
  ],
  ["a path in place of a run", "homelab-run=../../etc\nhomelab-expires=2026-11-21T12:00:00Z", undefined],
  ["an expiry alone", "homelab-expires=2026-11-21T12:00:00Z", undefined],
])("the mark in a description with %s", (_, description, mark) => {
  expect(markOn(description === undefined ? {} : { description })).toEqual(mark);
});

test("an emergency never expires", async () => {
  const inputs = { ...fake.emergency.lease(), expiresAfterHours: 24 };
  expect((await fake.provider.check?.(urn(DRILL_TOKENS.lease), {}, inputs))?.failures).toEqual([
    { property: "expiresAfterHours", reason: "an emergency brings back production, which never expires" },
  ]);
});

test("the limits of a removal are those that its lease recorded", async () => {
  fake.pve.restoreHangs = true;
  const removalLimits = { stopTimeoutSeconds: 1, removeTimeoutSeconds: 600 };
  const { outs } = await fake.create(DRILL_TOKENS.lease, { ...fake.leaseInputs(), removalLimits });
  await fake.create(DRILL_TOKENS.restoredVm, { ...fake.vmInputs(outs["run"]), restoreTimeoutSeconds: 0.1 });
  // The task is told to end and does not.
  fake.pve.disturb = (call) => (call.startsWith("DELETE /nodes/pve/tasks/") ? { status: 200, text: "" } : undefined);
  await expect(fake.delete(DRILL_TOKENS.lease, outs)).rejects.toThrow("had not ended after 1 s");
  expect(fake.pve.vms.has(9200)).toBe(true);
});
