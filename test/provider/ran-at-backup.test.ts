import type { Guest } from "../../provider/checks/guest";
import { findContainers, ranAtBackup, type FoundContainer } from "../../provider/checks/ran-at-backup";

const BOOT = Date.parse("2026-11-20T03:00:00Z");

function container(changes: Partial<FoundContainer>): FoundContainer {
  return {
    ...{ name: "c", status: "running", hasHealthCheck: false, finishedAt: 0, restartPolicy: "no", error: "" },
    ...changes,
  };
}

test.each<[string, Partial<FoundContainer>, boolean]>([
  ["runs", { status: "running" }, true],
  ["restarts again and again", { status: "restarting", finishedAt: BOOT + 5000 }, true],
  ["was found dead at the boot", { status: "exited", finishedAt: BOOT + 1 }, true],
  ["ended before the boot", { status: "exited", finishedAt: BOOT - 1 }, false],
  ["could not be started", { status: "exited", finishedAt: 1, error: "no such mount", restartPolicy: "always" }, true],
  ["failed once, by hand", { status: "exited", finishedAt: 1, error: "port is taken", restartPolicy: "no" }, false],
  ["was never started", { status: "created", error: "port is taken", restartPolicy: "always" }, false],
])("a container that %s", (_, changes, expected) => {
  expect(ranAtBackup(container(changes), BOOT)).toBe(expected);
});

function guest(exitCode: number, stdout: string, stderr = ""): Guest {
  return { signal: new AbortController().signal, leftMs: () => 1000, run: async () => ({ exitCode, stdout, stderr }) };
}

test("reads what the engine prints, errors with any characters included", async () => {
  const text = [
    `btime\t${BOOT / 1000}`,
    'container\t/my-app.v2\trunning\thealth\t0001-01-01T00:00:00Z\tunless-stopped\t""',
    'container\t/nas\texited\t\t2026-11-20T03:00:10.5Z\talways\t"mount \\"/x\\":\\tno route"',
    "",
  ].join("\n");
  expect(await findContainers(guest(0, text))).toEqual({
    bootedAt: BOOT,
    containers: [
      container({ name: "my-app.v2", hasHealthCheck: true, restartPolicy: "unless-stopped" }),
      container({
        ...{ name: "nas", status: "exited", finishedAt: BOOT + 10_500, restartPolicy: "always" },
        error: 'mount "/x":\tno route',
      }),
    ],
  });
});

test("a guest without Docker, without containers, and an engine that is silent are three things", async () => {
  expect(await findContainers(guest(127, ""))).toEqual({ hasNoDocker: true });
  expect(await findContainers(guest(0, `btime\t${BOOT / 1000}\n`))).toEqual({ bootedAt: BOOT, containers: [] });
  expect(await findContainers(guest(1, "", "Cannot connect to the Docker daemon"))).toEqual({
    problem: "Cannot connect to the Docker daemon",
  });
  expect(await findContainers(guest(0, ""))).toEqual({
    problem: "the guest's boot time can't be read from /proc/stat",
  });
});
