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
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly policy?: string;
}

const OLD_JOB: State = {
  ...{ name: "old-job", status: "exited" },
  ...{ startedAt: "2026-10-01T00:00:00Z", finishedAt: "2026-10-01T00:00:09Z" },
};

/** A guest whose engine has these containers. */
function guestWith(...containers: State[]): (command: string[]) => { exitCode: number; stdout: string } {
  const found = containers.map(
    ({ name, status, startedAt = "2026-11-20T03:00:05Z", finishedAt = "0001-01-01T00:00:00Z", policy = "always" }) =>
      `container\t/${name}\t${status}\t\t${startedAt}\t${finishedAt}\t2026-01-01T00:00:00Z\t0\t${policy}\t""\n`,
  );
  const states = containers.map(({ name, status }) => `/${name}\t${status}\t\t0\t1\t2026-11-20T03:00:05Z\n`);
  return (command) => {
    if (command[0] === "sh") {
      return { exitCode: 0, stdout: `btime\t${BOOT / 1000}\n${found.join("")}now\t${BOOT / 1000 + 120}\n` };
    }
    return command[1] === "inspect" ? { exitCode: 0, stdout: states.join("") } : healthyGuest(command);
  };
}

async function genericDrill(timeoutSeconds = 2): Promise<{ run: RunRef; verdict: Promise<unknown>; results: unknown }> {
  const { run } = await fake.lease();
  const { outs: vm } = await fake.create(DRILL_TOKENS.restoredVm, fake.vmInputs(run));
  const boot = { run, restoreStatus: vm["status"], startTimeoutSeconds: 5, agentTimeoutSeconds: 1 };
  const { outs: booted } = await fake.create(DRILL_TOKENS.guestBoot, boot);
  const bootStatus = await fake.isolation(run, booted["status"]);
  const inputs = { run, bootStatus, timeoutSeconds };
  const { outs } = await fake.create(DRILL_TOKENS.guestContainers, inputs);
  const expected = { run, expectedServices: ["containers"], expectRecoveryPoint: false };
  const verdict = fake.create(DRILL_TOKENS.verdict, expected).then(({ outs: end }: { outs: Bag }) => end["verdict"]);
  verdict.catch(() => undefined);
  return { run, verdict, results: outs["results"] };
}

test("what ran at backup time runs again: passed, and the RPO is said not to be measured", async () => {
  fake.pve.guest = guestWith(
    { name: "my-app.v2", status: "running" },
    { ...OLD_JOB, policy: "no" },
    { name: "nightly", status: "exited", finishedAt: "2026-11-20T03:00:06Z", policy: "no" },
  );
  const { run, verdict, results } = await genericDrill();
  expect(await verdict).toBe("passed");
  expect(results).toMatchObject([
    {
      service: "containers",
      status: "passed",
      detail:
        "1 containers ran (my-app.v2); stopped already before the backup: old-job; " +
        "started after the boot by something else than the engine, so not judged: nightly",
    },
    { service: "my-app.v2", name: "runs again", status: "passed" },
  ]);
  expect(results).toHaveLength(2);
  const evidence = evidenceFromJournal(await readJournal(run.runDir));
  expect(evidence.rpo).toMatchObject({ seconds: null, met: null });
  expect(evidence.rto.seconds).toBeGreaterThan(0);
  expect(evidence.findings).toContain(
    "The RPO was not measured: no recovery canary was in this run. Add one to the catalogue (a service with a canary), " +
      "and drill with the profile catalogue.",
  );
  expect(renderReport(evidence)).toContain("| RPO | not measured");
});

test("what gave up before the guest's clock was set back is judged by the time of the archive", async () => {
  const early = { startedAt: "2026-11-20T05:00:05Z", finishedAt: "2026-11-20T05:00:09Z" };
  fake.pve.guest = guestWith(
    { name: "web", status: "running" },
    { name: "worker", status: "exited", ...early, policy: "always" },
    { name: "tool", status: "exited", startedAt: "2026-10-01T00:00:00Z", finishedAt: "2026-11-20T01:00:30Z" },
  );
  const { verdict, results } = await genericDrill();
  expect(results).toMatchObject([
    { detail: "2 containers ran (web, worker); stopped already before the backup: tool" },
    { service: "web", status: "passed" },
    { service: "worker", status: "failed" },
  ]);
  await expect(verdict).rejects.toThrow("worker: runs again failed");
});

test("what ran and does not run again is named, with the reason where it is known", async () => {
  let now = 0;
  const clock = jest.spyOn(performance, "now").mockImplementation(() => (now += 1000));
  try {
    const died = {
      status: "exited",
      startedAt: "2026-11-19T00:00:00Z",
      finishedAt: new Date(BOOT + 1000).toISOString(),
    };
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

describe("nothing that ran is nothing that runs again", () => {
  const NOTHING = "of its services nothing was proved, only that it boots and that its guest agent answers";
  const COULD_NOT = "containers: containers that ran at backup time could not run: ";
  const engineless = (answer: string) => (command: string[]) =>
    command[0] === "sh" ? { exitCode: 0, stdout: `${answer}\n` } : healthyGuest(command);

  test.each<[string, (command: string[]) => { exitCode: number; stdout: string }, string]>([
    ["no engine", engineless("no-docker"), "the guest has no container engine that is known here"],
    ["Podman", engineless("no-docker podman"), "the guest has no Docker but podman, whose containers can't be judged"],
    ["no container", guestWith(), "no container is known to have run at backup time"],
    [
      "only one that was stopped",
      guestWith(OLD_JOB),
      "no container is known to have run at backup time; stopped already before the backup: old-job",
    ],
  ])("%s fails the drill", async (_, guest, detail) => {
    fake.pve.guest = guest;
    const { verdict, results } = await genericDrill();
    await expect(verdict).rejects.toThrow(`${COULD_NOT}${detail}; ${NOTHING}`);
    expect(results).toHaveLength(1);
  });
});

test("a disk that is not in the archive is a finding", async () => {
  fake.pve.archiveConfig += "\nscsi7: local-lvm:vm-200-disk-7,backup=0,size=100G\n";
  fake.pve.guest = guestWith({ name: "web", status: "running" });
  const { run, verdict } = await genericDrill();
  expect(await verdict).toBe("passed");
  const { findings } = evidenceFromJournal(await readJournal(run.runDir));
  expect(findings).toContain(
    "The archive nas:backup/vzdump-qemu-200-2026_11_20-01_00_00.vma.zst does not hold scsi7 of VM 200, as for disks with " +
      "backup=0: their data has no backup here and is not restored. Set backup=1 on them, or back them up in another way.",
  );
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
