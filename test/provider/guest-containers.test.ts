import { readJournal } from "../../provider/journal";
import { evidenceFromJournal } from "../../provider/evidence";
import { renderReport } from "../../provider/report";
import type { RunRef } from "../../provider/contract/run";
import { DRILL_TOKENS } from "../../provider/tokens";
import { type Bag, FakeDrill, healthyGuest } from "./support/fake-drill";

const BOOT = Date.parse("2026-11-20T03:00:00Z");

let fake: FakeDrill;
beforeEach(async () => {
  fake = await FakeDrill.make();
});
afterEach(async () => fake[Symbol.asyncDispose]());

interface State {
  readonly name: string;
  readonly status: string;
  readonly finishedAt?: string;
  readonly policy?: string;
}

/** A guest whose engine has these containers. */
function guestWith(...containers: State[]): (command: string[]) => { exitCode: number; stdout: string } {
  const found = containers.map(
    ({ name, status, finishedAt = "0001-01-01T00:00:00Z", policy = "always" }) =>
      `container\t/${name}\t${status}\t\t${finishedAt}\t${policy}\t""\n`,
  );
  const states = containers.map(({ name, status }) => `/${name}\t${status}\t\t0\t1\t2026-11-20T03:00:05Z\n`);
  return (command) => {
    if (command[0] === "sh") return { exitCode: 0, stdout: `btime\t${BOOT / 1000}\n${found.join("")}` };
    return command[1] === "inspect" ? { exitCode: 0, stdout: states.join("") } : healthyGuest(command);
  };
}

async function genericDrill(timeoutSeconds = 2): Promise<{ run: RunRef; verdict: Promise<unknown>; results: unknown }> {
  const { run } = await fake.lease();
  const { outs: vm } = await fake.create(DRILL_TOKENS.restoredVm, fake.vmInputs(run));
  const boot = { run, restoreStatus: vm["status"], startTimeoutSeconds: 5, agentTimeoutSeconds: 1 };
  const { outs: booted } = await fake.create(DRILL_TOKENS.guestBoot, boot);
  const inputs = { run, bootStatus: booted["status"], timeoutSeconds };
  const { outs } = await fake.create(DRILL_TOKENS.guestContainers, inputs);
  const expected = { run, expectedServices: ["containers"], expectRecoveryPoint: false };
  const verdict = fake.create(DRILL_TOKENS.verdict, expected).then(({ outs: end }: { outs: Bag }) => end["verdict"]);
  verdict.catch(() => undefined);
  return { run, verdict, results: outs["results"] };
}

test("what ran at backup time runs again: passed, and the RPO is said not to be measured", async () => {
  fake.pve.guest = guestWith(
    { name: "my-app.v2", status: "running" },
    { name: "old-job", status: "exited", finishedAt: "2026-10-01T00:00:00Z", policy: "no" },
  );
  const { run, verdict, results } = await genericDrill();
  expect(await verdict).toBe("passed");
  expect(results).toMatchObject([
    {
      service: "containers",
      status: "passed",
      detail: "1 containers ran (my-app.v2); stopped already before the backup: old-job",
    },
    { service: "my-app.v2", name: "runs again", status: "passed" },
  ]);
  const evidence = evidenceFromJournal(await readJournal(run.runDir));
  expect(evidence.rpo).toMatchObject({ seconds: null, met: null });
  expect(evidence.rto.seconds).toBeGreaterThan(0);
  expect(evidence.findings).toContain(
    "The RPO was not measured: the generic profile knows no recovery canary. Add one to the catalogue.",
  );
  expect(renderReport(evidence)).toContain("| RPO | not measured");
});

test("what ran and does not run again is named, with the reason where it is known", async () => {
  let now = 0;
  const clock = jest.spyOn(performance, "now").mockImplementation(() => (now += 1000));
  try {
    const died = { status: "exited", finishedAt: new Date(BOOT + 1000).toISOString() };
    fake.pve.guest = guestWith(
      { name: "web", status: "running" },
      { name: "tool", ...died, policy: "no" },
      { name: "db", ...died },
    );
    const { verdict } = await genericDrill(500);
    const { message } = await verdict.then(
      () => new Error("It passed."),
      (error: unknown) => error as Error,
    );
    expect(message).toContain(
      "tool: runs again failed: container tool is exited with exit code 1; it has no restart policy, so nothing starts it " +
        "after a restore\n",
    );
    expect(message).toContain("db: runs again failed: container db is exited with exit code 1\n");
  } finally {
    clock.mockRestore();
  }
}, 20_000);

test("a guest without Docker is judged by boot and agent, and that is said", async () => {
  fake.pve.guest = (command) => (command[0] === "sh" ? { exitCode: 0, stdout: "no-docker\n" } : healthyGuest(command));
  const { verdict, results } = await genericDrill();
  expect(await verdict).toBe("passed");
  expect(results).toMatchObject([
    { status: "passed", detail: "the guest has no Docker; boot and guest agent are what was checked" },
  ]);
});

test("an engine that never answers fails", async () => {
  fake.pve.guest = (command) =>
    command[0] === "sh" ? { exitCode: 1, stderr: "Cannot connect to the Docker daemon" } : healthyGuest(command);
  const silent = await genericDrill(0.5);
  await expect(silent.verdict).rejects.toThrow(
    "last seen: Docker does not answer: Cannot connect to the Docker daemon",
  );
});

test("a guest without a shell is no pass", async () => {
  fake.pve.guest = (command) => (command[0] === "sh" ? { exitCode: 0, isMissing: true } : healthyGuest(command));
  await expect((await genericDrill()).verdict).rejects.toThrow(
    'containers: containers that ran at backup time could not run: the guest has no program "sh"',
  );
});
