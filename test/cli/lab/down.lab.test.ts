/** A lab's namespace, processes and files, without machines: what `lab down` removes and what `claimLab` refuses. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOrThrow } from "../../../cli/command";
import { takeLabDown } from "../../../cli/lab/down";
import { createNamespace, insideNamespace, namespaceExists } from "../../../cli/lab/namespace";
import { labPaths } from "../../../cli/lab/paths";
import { nodeCommand, REPO_DIR } from "../../../cli/lab/node-command";
import { LAB_VARIABLE, processesOf, startTimeOf } from "../../../cli/lab/processes";
import { claimLab } from "../../../cli/lab/up";
import { Progress } from "../../../cli/progress";

const ID = `unit${process.pid}`;
const paths = labPaths(ID);
let logs: string;
let progress: Progress;
const children: ChildProcess[] = [];

beforeAll(() => {
  logs = mkdtempSync(join(tmpdir(), "down-"));
  progress = new Progress(join(logs, "log"), { write: () => undefined, isTerminal: false, columns: () => 80 });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await takeLabDown(paths);
});
afterAll(() => {
  progress[Symbol.dispose]();
  rmSync(logs, { recursive: true });
});

function start(program: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(program, args, { stdio: "ignore", env: { PATH: process.env["PATH"], ...env }, detached: true });
  children.push(child);
  return child;
}

async function makeRemains(): Promise<void> {
  await createNamespace(paths);
  mkdirSync(join(paths.dir, "storage"), { recursive: true });
  const { program, args } = insideNamespace(paths, ["/bin/sh", "-c", "trap '' TERM; sleep 1000 & sleep 1001"]);
  start(program, args);
  start("/bin/sleep", ["1002"], { [LAB_VARIABLE]: ID });
  for (const deadline = Date.now() + 5000; Date.now() < deadline;) {
    if ((await processesOf(ID, paths.namespace)).length >= 4) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the processes did not start");
}

test("everything of a crashed lab goes: processes in and outside, even stubborn ones, namespace, files", async () => {
  await makeRemains();
  const remains = await takeLabDown(paths);
  expect(remains).toMatchObject({ namespace: true, files: true });
  expect(remains.processes).toBeGreaterThanOrEqual(4);
  expect(await processesOf(ID, paths.namespace)).toEqual([]);
  expect(namespaceExists(paths)).toBe(false);
  expect([paths.dir, paths.netnsDir].filter((dir) => existsSync(dir))).toEqual([]);
}, 40_000);

test("taking down what is not there is no error", async () => {
  expect(await takeLabDown(paths)).toEqual({ repoDir: undefined, processes: 0, namespace: false, files: false });
});

test("other labs are left alone", async () => {
  const other = labPaths(`${ID}b`);
  await createNamespace(other);
  try {
    await makeRemains();
    await takeLabDown(paths);
    expect(namespaceExists(other)).toBe(true);
  } finally {
    await takeLabDown(other);
  }
}, 40_000);

test("the namespace has no way out and no names but its own", async () => {
  await createNamespace(paths);
  const inside = async (command: string): Promise<string> => {
    const { program, args } = insideNamespace(paths, ["/bin/sh", "-c", command]);
    return (await runOrThrow(program, args)).trim();
  };
  expect(await inside("ip route; ip -6 route show default")).toBe("");
  expect(await inside("ip -o link | wc -l")).toBe("1");
  expect(await inside("grep -c nameserver /etc/resolv.conf || true")).toBe("0");
  expect(await inside("getent hosts localhost")).toMatch(/localhost/);
});

test("a start clears a crash, and refuses a lab that runs or was kept", async () => {
  await makeRemains();
  const owner = { pid: 2 ** 22 - 1, startTime: "1", kept: false, repoDir: "/" };
  writeFileSync(paths.ownerFile, JSON.stringify(owner));
  await claimLab(ID, "/srv/clone", progress);
  expect(existsSync(join(paths.dir, "storage"))).toBe(false);
  // Now this process owns it.
  await expect(claimLab(ID, "/", progress)).rejects.toThrow(
    `Unable to start the lab "${ID}": process ${process.pid} runs it from /srv/clone. Wait for it, or end it with: npm stop -- --id ${ID}`,
  );
  writeFileSync(paths.ownerFile, JSON.stringify({ ...owner, kept: true }));
  const kept = start("/bin/sleep", ["1004"], { [LAB_VARIABLE]: ID });
  await expect(claimLab(ID, "/", progress)).rejects.toThrow(
    `Unable to start the lab "${ID}": it was left running, started from /. Go on in it with \`npm run homelab -- lab shell --id ${ID}\`, ` +
      `or end it with: npm stop -- --id ${ID}`,
  );
  kept.kill("SIGKILL");
  await once(kept, "exit");
  await claimLab(ID, "/", progress); // of a kept lab that died there is nothing to go on in
}, 40_000);

/** What `homelab lab down` prints. */
async function labDown(): Promise<string> {
  const [program = "", ...args] = nodeCommand("cli/main.ts", ["lab", "down", "--id", ID]);
  return runOrThrow(program, args, { cwd: REPO_DIR });
}

test("an owner that runs is asked to end first, and what it took down by itself is told with its clone", async () => {
  mkdirSync(paths.dir, { recursive: true });
  const ending = `trap 'rm -r "${paths.dir}"; exit' TERM; while :; do sleep 0.1; done`;
  const child = start("/bin/sh", ["-c", ending]);
  const startTime = startTimeOf(child.pid ?? 0);
  writeFileSync(paths.ownerFile, JSON.stringify({ pid: child.pid, startTime, kept: false, repoDir: "/srv/other" }));
  expect(await labDown()).toBe(
    `asking process ${child.pid}, which runs the lab "${ID}" from /srv/other, to end\n` +
      `The lab "${ID}" is gone (started from /srv/other; processes ended: 1).\n`,
  );
  expect(startTimeOf(child.pid ?? 0)).toBeUndefined();
  expect(await labDown()).toBe(`There was no lab "${ID}".\n`);
}, 40_000);

test("remains without an owner are told as such", async () => {
  mkdirSync(paths.dir, { recursive: true });
  expect(await labDown()).toBe(
    `The lab "${ID}" is gone (nothing tells from which folder it was started; processes ended: 0).\n`,
  );
}, 40_000);
