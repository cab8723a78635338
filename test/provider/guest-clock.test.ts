import { evidenceSchema } from "../../provider/contract/evidence";
import { evidenceFromJournal } from "../../provider/evidence";
import { readJournal } from "../../provider/journal";
import { FakeDrill } from "./support/fake-drill";

const DAY = 86_400;

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
  fake.pve.vms.set(200, { config: { name: "docker" }, status: "running" });
});
afterEach(async () => fake[Symbol.asyncDispose]());

/** The verdict of a drill, its RTO and RPO, and what it found about clocks. */
async function drill(): Promise<{ verdict: unknown; rto: number | null; rpo: number | null; clocks: string[] }> {
  const { run, verdict } = await fake.drill();
  const outputs = await verdict;
  const evidence = evidenceSchema.parse(evidenceFromJournal(await readJournal(run.runDir)));
  const clocks = evidence.findings.filter((text) => text.includes("clock"));
  return { verdict: outputs["verdict"], rto: evidence.rto.seconds, rpo: evidence.rpo.seconds, clocks };
}

const WHAT_IT_MEANS =
  "what runs in it goes by that, its certificates too; RTO, RPO and ages do not. " +
  "See timedatectl in the guest, and the VM's options localtime and startdate.";

test.each([
  [-DAY, "behind"],
  [DAY, "ahead of"],
])("a guest whose clock is %d s off is told, and no measured time goes by it", async (offset, direction) => {
  fake.pve.guestClockOffsetSeconds = offset;
  const { clocks, rto, ...rest } = await drill();
  expect(rest).toEqual({ verdict: "passed", rpo: 3630 });
  expect(rto).toBeGreaterThan(0);
  expect(rto).toBeLessThan(60);
  const [finding = "", ...others] = clocks;
  expect(others).toEqual([]);
  const [, seconds = ""] = /^The clock of the restored guest is (\d+) s /.exec(finding) ?? [];
  expect(Math.abs(Number(seconds) - DAY)).toBeLessThanOrEqual(2);
  expect(finding).toBe(`The clock of the restored guest is ${seconds} s ${direction} node pve's: ${WHAT_IT_MEANS}`);
});

test("the guest's clock is compared with the node's, not with this computer's", async () => {
  fake.pve.guestClockOffsetSeconds = -DAY;
  fake.pve.clockOffsetSeconds = -DAY;
  expect((await drill()).clocks).toEqual([
    expect.stringMatching(/^The clock of node pve is \d+ s behind this computer's/),
  ]);
});

test("clocks that agree are no finding", async () => {
  expect((await drill()).clocks).toEqual([]);
});

test("a clock that can't be read is a finding and changes no verdict", async () => {
  const refusal = { status: 500, text: "Agent error: Command guest-get-time has been disabled" };
  fake.pve.disturb = (call) => (call.endsWith("/agent/get-time") ? refusal : undefined);
  const { verdict, clocks } = await drill();
  expect(verdict).toBe("passed");
  expect(clocks).toEqual([
    expect.stringMatching(
      /^The clock of the restored guest was not compared with node pve's: .*guest-get-time has been/,
    ),
  ]);
});
