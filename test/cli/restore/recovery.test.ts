/** Whether a restore whose command was killed had come to its end. The commands themselves: `test/crash/`. */
import { passedRun } from "../../../cli/restore/recovery";
import { FakeDrill, WEB_CHECKS } from "../../provider/support/fake-drill";

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

const emergency = (): ReturnType<FakeDrill["drill"]> => fake.drill(WEB_CHECKS, fake.emergency);
const found = (...runs: string[]): Promise<string | undefined> =>
  passedRun(fake.pve.client({ host: "fake" }), fake.evidenceDir, runs);

test("it had, while the VM that it restored stands", async () => {
  const { run } = await emergency();
  expect(await found(run.runId)).toBe(run.runId);
  expect(await found("20261120T010000Z-emergency-000000", run.runId)).toBe(run.runId);
});

test("it had not without a pass", async () => {
  fake.pve.agentAnswers = false;
  const { run } = await emergency();
  expect(await found(run.runId)).toBeUndefined();
  expect(await found()).toBeUndefined();
});

test("a VM that is gone again, or another one in its place, is another emergency", async () => {
  const { run } = await emergency();
  const vm = fake.pve.vms.get(200);
  if (vm !== undefined) vm.config["smbios1"] = "uuid=99999999-2222-3333-4444-555555555555";
  expect(await found(run.runId)).toBeUndefined();
  fake.pve.vms.clear();
  expect(await found(run.runId)).toBeUndefined();
});
