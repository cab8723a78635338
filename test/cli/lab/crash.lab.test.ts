/** A crash while a machine runs: `lab down` leaves neither daemon nor QEMU, tap device, namespace or file. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { runOrThrow } from "../../../cli/command";
import { startDaemon } from "../../../cli/lab/daemon";
import { takeLabDown } from "../../../cli/lab/down";
import { createNamespace, insideNamespace, namespaceExists } from "../../../cli/lab/namespace";
import { labPaths } from "../../../cli/lab/paths";
import { REPO_DIR } from "../../../cli/lab/node-command";
import { LAB_VARIABLE, processesOf } from "../../../cli/lab/processes";
import { describeLab } from "../../../cli/lab/status";
import { labSpec } from "../../support/lab-spec";

const ID = `crash${process.pid}`;
const paths = labPaths(ID);
const TOKEN = "root@pam!lab=11111111-2222-3333-4444-555555555555";
const API = "https://192.168.20.1:8006/api2/json";

afterEach(() => takeLabDown(paths), 60_000);

/** One call to the emulated API from inside the lab. */
async function call(method: string, path: string, form: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const script = `
    const [url, method, token, form] = process.argv.slice(1);
    const body = method === "GET" ? undefined : new URLSearchParams(JSON.parse(form)).toString();
    const headers = { authorization: "PVEAPIToken=" + token, "content-type": "application/x-www-form-urlencoded" };
    const answer = await fetch(url, { method, headers, body });
    process.stdout.write(await answer.text());
    process.exitCode = answer.ok ? 0 : 1;`;
  const node = [process.execPath, "--input-type=module", "-e", script, API + path, method, TOKEN, JSON.stringify(form)];
  const { program, args } = insideNamespace(paths, node);
  const env = { PATH: process.env["PATH"] ?? "", NODE_EXTRA_CA_CERTS: paths.caFile };
  return z.object({ data: z.unknown() }).parse(JSON.parse(await runOrThrow(program, args, { env }))).data;
}

async function taskDone(upid: unknown): Promise<void> {
  const path = `/nodes/pve/tasks/${encodeURIComponent(String(upid))}/status`;
  const schema = z.looseObject({ status: z.string(), exitstatus: z.string().optional() });
  for (;;) {
    const { status, exitstatus } = schema.parse(await call("GET", path));
    if (status !== "running") {
      expect(exitstatus).toBe("OK");
      return;
    }
  }
}

function commandLineOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

/** Starts a lab with one machine that stays in its firmware. */
async function runLab(): Promise<void> {
  await mkdir(paths.dir, { recursive: true });
  await createNamespace(paths);
  const spec = labSpec({
    ...{ id: ID, dir: paths.dir, apiTokens: [TOKEN] },
    storages: [
      { id: "local-lvm", kind: "lvmthin", content: ["images"], totalBytes: 2 ** 30, predefined: true },
      { id: "nas", kind: "dir", content: ["backup"], totalBytes: 2 ** 30, path: "/mnt/pve/nas", predefined: true },
    ],
    registry: { root: paths.dir, tags: {}, port: 5000 },
    cloudflare: { apiToken: "unused", zones: [], port: 8443 },
  });
  const path = `${dirname(process.execPath)}:/usr/sbin:/usr/bin:/sbin:/bin`;
  await startDaemon(paths, REPO_DIR, spec, { PATH: path, HOME: paths.dir, [LAB_VARIABLE]: ID });
  const machine = { vmid: "200", memory: "128", scsi0: "local-lvm:1", net0: "virtio,bridge=vmbr0" };
  await taskDone(await call("POST", "/nodes/pve/qemu", machine));
  await taskDone(await call("POST", "/nodes/pve/qemu/200/status/start"));
}

test("the daemon is killed while a machine runs", async () => {
  await runLab();
  const running = await processesOf(ID, paths.namespace);
  const daemon = running.find((pid) => commandLineOf(pid).includes("lab/main.ts"));
  expect(running.some((pid) => commandLineOf(pid).startsWith("qemu-system"))).toBe(true);
  if (daemon === undefined) throw new Error("the daemon does not run");
  process.kill(daemon, "SIGKILL");
  expect(await describeLab(ID)).toContain("remains of a crash");

  await takeLabDown(paths);
  expect(await processesOf(ID, paths.namespace)).toEqual([]);
  expect([namespaceExists(paths), existsSync(paths.dir), existsSync(paths.netnsDir)]).toEqual([false, false, false]);
}, 120_000);

test("who ran the lab is gone, the daemon and its machine are not", async () => {
  await runLab();
  const gone = { pid: 2 ** 22 - 1, startTime: "1", kept: false, repoDir: REPO_DIR };
  await writeFile(paths.ownerFile, JSON.stringify(gone));
  expect(await describeLab(ID)).toContain("remains of a crash");

  const { processes } = await takeLabDown(paths);
  expect(processes).toBeGreaterThanOrEqual(2);
  expect(await processesOf(ID, paths.namespace)).toEqual([]);
  expect([namespaceExists(paths), existsSync(paths.dir), existsSync(paths.netnsDir)]).toEqual([false, false, false]);
}, 120_000);
