import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Guest } from "../../provider/checks/guest";
import { atBackup, type AtBackup, findContainers, type FoundContainer } from "../../provider/checks/ran-at-backup";

const BOOT = Date.parse("2026-11-20T03:00:00Z");
const DAY = 86_400_000;
/** A look two minutes after the boot. */
const LOOK = { bootedAt: BOOT, seenAt: BOOT + 120_000 };
const HOUR = 3_600_000;
/** The backup was made an hour before it was restored. */
const ARCHIVED = BOOT - HOUR;

function container(changes: Partial<FoundContainer>): FoundContainer {
  return {
    ...{ name: "c", status: "running", hasHealthCheck: false, startedAt: 0, finishedAt: 0, createdAt: 0, exitCode: 0 },
    ...{ restartPolicy: "no", error: "" },
    ...changes,
  };
}

const AGAIN = { startedAt: BOOT + 5000, finishedAt: BOOT + 1 };
const OVER = { status: "exited", startedAt: BOOT + 5000, finishedAt: BOOT + 9000 };
const ENDED = { status: "exited", startedAt: BOOT - 9000 };

test.each<[string, Partial<FoundContainer>, AtBackup]>([
  ["runs by the engine", { ...AGAIN, restartPolicy: "always" }, "ran"],
  ["runs for the first time by the engine", { startedAt: BOOT + 5000, restartPolicy: "unless-stopped" }, "ran"],
  ["restarts again and again", { ...AGAIN, status: "restarting", restartPolicy: "on-failure" }, "ran"],
  ["was found dead at the boot", { ...ENDED, finishedAt: BOOT + 1, exitCode: 255 }, "ran"],
  ["was found dead at the boot and was started by a unit", AGAIN, "ran"],
  ["ended before the boot", { ...ENDED, finishedAt: BOOT - 1 }, "stopped"],
  ["could not be started", { ...ENDED, error: "no such mount", restartPolicy: "always" }, "ran"],
  ["failed once, by hand", { ...ENDED, error: "port is taken" }, "stopped"],
  ["was never started", { status: "created", error: "port is taken", restartPolicy: "always" }, "stopped"],
  ["the engine started and that ended", { ...OVER, restartPolicy: "always" }, "ran"],
  ["the engine gave up", { ...OVER, exitCode: 1, restartPolicy: "on-failure" }, "ran"],
  ["a timer started, which ended by itself", OVER, "started later"],
  ["a timer started, which failed", { ...OVER, exitCode: 3 }, "started later"],
  ["did its work again after the boot", { ...OVER, restartPolicy: "on-failure" }, "started later"],
  ["a timer has just started", { startedAt: BOOT + 5000, finishedAt: BOOT - 60_000 }, "started later"],
  ["was made after the boot", { startedAt: BOOT + 5000, createdAt: BOOT + 4000 }, "started later"],
])("a container that %s", (_, changes, expected) => {
  expect(atBackup(container(changes), LOOK, ARCHIVED)).toBe(expected);
});

/** The backup was made by a clock that was right; the restored guest's is not. */
describe("a guest whose clock is", () => {
  const HERE = 10_000;
  const before = (hours: number): number => BOOT + HERE - hours * HOUR;
  const made = { createdAt: before(20) };
  const again = (bootedAt: number): Partial<FoundContainer> => ({
    ...{ startedAt: bootedAt + 5000, finishedAt: bootedAt + 1, restartPolicy: "always" },
  });

  test.each<[string, number]>([
    ["a day behind", -DAY],
    ["right", 0],
    ["a day ahead", DAY],
  ])("%s tells what ran from what was stopped", (_, offset) => {
    const bootedAt = BOOT + offset;
    const look = { bootedAt, seenAt: bootedAt + 120_000 };
    const states = [
      { ...made, ...again(bootedAt) },
      { ...made, status: "exited", startedAt: before(19), finishedAt: bootedAt + 1, exitCode: 255 },
      { ...made, status: "exited", startedAt: before(19), finishedAt: before(2), restartPolicy: "unless-stopped" },
      { ...made, status: "created", restartPolicy: "always" },
      { createdAt: bootedAt + 4000, startedAt: bootedAt + 5000 },
    ];
    expect(states.map((state) => atBackup(container(state), look, ARCHIVED))).toEqual([
      ...["ran", "ran", "stopped", "stopped", "started later"],
    ]);
  });

  // The kernel's time of the boot goes back with the clock, so that what was before the step seems still to come.
  test("two hours ahead at the boot and then set right tells what happened before it was", () => {
    const early = (seconds: number): number => BOOT + 2 * HOUR + seconds * 1000;
    const states = [
      {
        ...made,
        status: "exited",
        startedAt: early(5),
        finishedAt: early(9),
        exitCode: 1,
        restartPolicy: "on-failure",
      },
      { ...made, status: "exited", startedAt: before(19), finishedAt: early(1), exitCode: 255 },
      { ...made, startedAt: early(5), finishedAt: early(1), restartPolicy: "always" },
      { ...made, status: "exited", startedAt: early(5), finishedAt: early(9) },
      { createdAt: early(4), startedAt: early(5) },
      { ...made, status: "exited", startedAt: before(19), finishedAt: before(2), restartPolicy: "always" },
    ];
    expect(states.map((state) => atBackup(container(state), LOOK, ARCHIVED))).toEqual([
      ...["ran", "ran", "ran", "started later", "started later", "stopped"],
    ]);
  });

  test("a day behind may find what ended while the guest was frozen for its backup", () => {
    const look = { bootedAt: BOOT - DAY, seenAt: BOOT - DAY + 120_000 };
    const ended = { ...made, status: "exited", startedAt: before(19) };
    const within = [5, 60].map((seconds) => ({ ...ended, finishedAt: ARCHIVED + seconds * 1000 }));
    expect(within.map((state) => atBackup(container(state), look, ARCHIVED))).toEqual(["stopped", "stopped"]);
    expect(atBackup(container({ ...ended, finishedAt: ARCHIVED + 61_000 }), look, ARCHIVED)).toBe("ran");
  });
});

function guest(exitCode: number, stdout: string, stderr = ""): Guest {
  return { signal: new AbortController().signal, leftMs: () => 1000, run: async () => ({ exitCode, stdout, stderr }) };
}

test("reads what the engine prints, errors with any characters included", async () => {
  const text = [
    `btime\t${BOOT / 1000}`,
    "container\t/my-app.v2\trunning\thealth\t2026-11-20T03:00:08Z\t0001-01-01T00:00:00Z\t2026-01-01T00:00:00.1Z\t0\t" +
      'unless-stopped\t""',
    "container\t/nas\texited\t\t2026-11-19T03:00:00Z\t2026-11-20T03:00:10.5Z\t2026-01-01T00:00:00Z\t255\t" +
      'always\t"mount \\"/x\\":\\tno route"',
    `now\t${BOOT / 1000 + 119}`,
    "",
  ].join("\n");
  expect(await findContainers(guest(0, text))).toEqual({
    ...LOOK,
    containers: [
      container({
        ...{ name: "my-app.v2", hasHealthCheck: true, restartPolicy: "unless-stopped", startedAt: BOOT + 8000 },
        createdAt: Date.parse("2026-01-01T00:00:00.1Z"),
      }),
      container({
        ...{ name: "nas", status: "exited", finishedAt: BOOT + 10_500, restartPolicy: "always", exitCode: 255 },
        ...{ startedAt: BOOT - 86_400_000, createdAt: Date.parse("2026-01-01T00:00:00Z") },
        error: 'mount "/x":\tno route',
      }),
    ],
  });
});

const NONE = `btime\t${BOOT / 1000}\nnow\t${BOOT / 1000 + 119}\n`;

test("a guest without Docker, without containers, and an engine that is silent are three things", async () => {
  expect(await findContainers(guest(0, "no-docker\n"))).toEqual({ hasNoDocker: true });
  expect(await findContainers(guest(0, "no-docker podman\n"))).toEqual({ hasNoDocker: true, otherEngine: "podman" });
  expect(await findContainers(guest(0, NONE))).toEqual({ ...LOOK, containers: [] });
  expect(await findContainers(guest(1, "", "Cannot connect to the Docker daemon"))).toEqual({
    problem: "Cannot connect to the Docker daemon",
  });
  expect(await findContainers(guest(0, ""))).toEqual({
    problem: "the guest's boot time can't be read from /proc/stat",
  });
  expect(await findContainers(guest(0, `btime\t${BOOT / 1000}\n`))).toEqual({
    problem: "the guest's clock can't be read with date",
  });
});

test("a command that is not found in the middle is no sign that there is no Docker", async () => {
  expect(await findContainers(guest(127, "", "sh: 2: sed: not found"))).toEqual({ problem: "sh: 2: sed: not found" });
});

test("an engine whose command the agent does not find is not taken for none", async () => {
  const problem = "there is /snap/bin/docker, but the guest agent finds no docker command";
  expect(await findContainers(guest(1, "", problem))).toEqual({ problem });
});

describe("the script in a real shell", () => {
  let bin: string;
  beforeEach(() => (bin = mkdtempSync(join(tmpdir(), "homelab-docker-"))));
  afterEach(() => rmSync(bin, { recursive: true }));

  function program(name: string, script: string): void {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }

  const run: Guest["run"] = async ([shell = "", ...args]) =>
    new Promise((resolve) => {
      const env = { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` };
      execFile(shell, args, { env }, (error, stdout, stderr) => {
        resolve({ exitCode: error === null ? 0 : 1, stdout, stderr });
      });
    });

  test("asks for all containers at once", async () => {
    const line = 'container\\t/%s\\trunning\\t\\t0001-01-01T00:00:00Z\\t\\t\\t0\\talways\\t""\\n';
    program(
      "docker",
      `case $1 in\nps) printf 'one\\ntwo\\n' ;;\ninspect) shift 5; for id; do printf '${line}' "$id"; done ;;\nesac`,
    );
    const found = await findContainers({ ...guest(0, ""), run });
    expect(found).toMatchObject({ containers: [{ name: "one" }, { name: "two" }] });
    const seenAt = "seenAt" in found ? found.seenAt : 0;
    expect(Math.abs(seenAt - Date.now())).toBeLessThan(10_000);
  });

  test("Podman behind Docker's name is not taken for Docker", async () => {
    program("docker", "echo podman version 4.3.1");
    expect(await findContainers({ ...guest(0, ""), run })).toEqual({ hasNoDocker: true, otherEngine: "podman" });
  });
});
