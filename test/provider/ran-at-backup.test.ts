import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  expect(await findContainers(guest(0, "no-docker\n"))).toEqual({ hasNoDocker: true });
  expect(await findContainers(guest(0, `btime\t${BOOT / 1000}\n`))).toEqual({ bootedAt: BOOT, containers: [] });
  expect(await findContainers(guest(1, "", "Cannot connect to the Docker daemon"))).toEqual({
    problem: "Cannot connect to the Docker daemon",
  });
  expect(await findContainers(guest(0, ""))).toEqual({
    problem: "the guest's boot time can't be read from /proc/stat",
  });
});

test("a command that is not found in the middle is no sign that there is no Docker", async () => {
  expect(await findContainers(guest(127, "", "sh: 2: sed: not found"))).toEqual({ problem: "sh: 2: sed: not found" });
});

test("an engine whose command the agent does not find is not taken for none", async () => {
  const problem = "there is /snap/bin/docker, but the guest agent finds no docker command";
  expect(await findContainers(guest(1, "", problem))).toEqual({ problem });
});

test("the script runs in a real shell and asks for all containers at once", async () => {
  const bin = mkdtempSync(join(tmpdir(), "homelab-docker-"));
  const docker = join(bin, "docker");
  const line = 'container\\t/%s\\trunning\\t\\t0001-01-01T00:00:00Z\\talways\\t""\\n';
  writeFileSync(
    docker,
    `#!/bin/sh\ncase $1 in\nps) printf 'one\\ntwo\\n' ;;\ninspect) shift 5; for id; do printf '${line}' "$id"; done ;;\nesac\n`,
  );
  chmodSync(docker, 0o755);
  const run: Guest["run"] = async ([program = "", ...args]) =>
    new Promise((resolve) => {
      const env = { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` };
      execFile(program, args, { env }, (error, stdout, stderr) => {
        resolve({ exitCode: error === null ? 0 : 1, stdout, stderr });
      });
    });
  try {
    const found = await findContainers({ ...guest(0, ""), run });
    expect(found).toMatchObject({ containers: [{ name: "one" }, { name: "two" }] });
  } finally {
    rmSync(bin, { recursive: true });
  }
});
