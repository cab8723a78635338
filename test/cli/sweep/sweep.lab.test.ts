/** `homelab sweep` as a process of its own, with real Pulumi, the real provider and the lab's Proxmox API; without machines. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseVmConfig } from "../../../pve/vm-config";
import { Workspace } from "../../bad-input/workspace";
import { ApiLab, TOKEN } from "../../lab/api-lab";

jest.setTimeout(300_000);

const CONFIG = [
  "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:",
  "agent: enabled=1",
  "memory: 1024",
  "name: docker",
  "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0",
  "scsi0: local-lvm:vm-200-disk-0,size=1G",
  "",
].join("\n");

let workspace: Workspace;
let api: ApiLab;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  workspace = await Workspace.create();
  api = await ApiLab.start();
  const { lab, backups } = api;
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  const dump = path.join(lab.spec.dir, "fs/mnt/pve/nas/dump");
  mkdirSync(dump, { recursive: true });
  writeFileSync(path.join(dump, "vzdump-qemu-200-2026_11_20-02_00_00.vma.zst"), CONFIG);
  backups.onRestore = async (request) => {
    const disk = await lab.volumes.allocateDisk("local-lvm", request.vmId, 2 ** 30);
    await request.writeConfig({ ...parseVmConfig(CONFIG), ...request.overrides, scsi0: `${disk},size=1G` });
    await request.removeLock();
  };
  const ca = path.join(lab.spec.dir, "tls", "ca.pem");
  environment = {
    ...{ PROXMOX_VE_ENDPOINT: `${api.endpoint}/`, PROXMOX_VE_API_TOKEN: TOKEN },
    ...{ SSL_CERT_FILE: ca, NODE_EXTRA_CA_CERTS: ca },
  };
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

/** Runs `homelab` in the project. */
async function homelab(...args: string[]): Promise<{ code: number; output: string }> {
  const main = path.resolve(__dirname, "../../../cli/main.ts");
  const env = { ...workspace.environment, ...environment };
  return new Promise((done) => {
    execFile(process.execPath, ["--import", "tsx", main, ...args], { cwd: workspace.project, env }, (error, out, err) =>
      done({ code: typeof error?.code === "number" ? error.code : 0, output: `${out}${err}`.trim() }),
    );
  });
}

/** No guest answers, so an update ends without a pass and its VM stands. */
async function drillUp(agentSeconds: number): ReturnType<Workspace["pulumi"]> {
  await workspace.write({ drill: [["agentSeconds: 600", `agentSeconds: ${agentSeconds}`]] });
  return workspace.pulumi(["up", "-s", "drill", "--yes", "--skip-preview"], environment);
}

async function config(): Promise<Record<string, string>> {
  return (await api.ok("GET", "/nodes/pve/qemu/9200/config")) as Record<string, string>;
}

async function runOnVm(): Promise<string> {
  return /^homelab-run=(.*)$/m.exec((await config())["description"] ?? "")?.[1] ?? "";
}

/** As an operator may do who does not need the VM any longer. */
async function expire(): Promise<void> {
  const { description = "" } = await config();
  const at = /homelab-expires=(\S+)/.exec(description)?.[1] ?? "";
  expect(Date.parse(at) - Date.now()).toBeGreaterThan(23 * 3_600_000);
  await api.ok("PUT", "/nodes/pve/qemu/9200/config", { description: description.replace(at, "2026-01-01T00:00:00Z") });
}

async function resourcesInState(): Promise<number> {
  const { output } = await workspace.pulumi(["stack", "export", "-s", "drill"]);
  return (JSON.parse(output) as { deployment: { resources?: unknown[] } }).deployment.resources?.length ?? 0;
}

test("a drill that stands is kept, then swept with its state, and the stack can drill again", async () => {
  const first = await drillUp(1);
  expect(first.errors.join(" ")).toContain("Unable to reach the guest agent of VM 9200");
  const run = await runOnVm();
  const { description } = await config();
  expect(first.output).toMatch(/Run \S+ restores .* From \S+Z on a sweep, and so the next drill, removes its VM\./);
  const kept = await homelab("sweep");
  expect(kept).toEqual({
    code: 0,
    output: expect.stringMatching(`^VM 9200 \\(docker-drill\\) on pve: kept: run ${run} expires at \\d{4}-`) as string,
  });
  expect((await config())["description"]).toBe(description);

  await expire();
  const text = `run ${run} expired at 2026-01-01T00:00:00Z`;
  expect(await homelab("sweep", "--dry-run")).toEqual({
    code: 0,
    output: `VM 9200 (docker-drill) on pve: would be removed: ${text}`,
  });
  expect(await runOnVm()).toBe(run);
  expect(await homelab("sweep")).toEqual({ code: 0, output: `VM 9200 (docker-drill) on pve: removed: ${text}` });
  expect(api.lab.guests.exists(9200)).toBe(false);
  expect(await api.lab.volumes.images()).toEqual([]);
  expect(await resourcesInState()).toBe(0);
  const journal = await readFile(path.join(workspace.project, "drills", run, "journal.ndjson"), "utf8");
  expect(journal).toContain("swept, because it had expired");
  expect(await homelab("sweep")).toEqual({ code: 0, output: "No VM of the cluster carries the mark of a drill." });

  const second = drillUp(20);
  while (!api.machines.running.has(9200)) await sleep(50);
  await expire();
  const alive = await homelab("sweep");
  expect(alive).toEqual({ code: 0, output: expect.stringMatching(/, but its process \d+ still runs$/) as string });
  expect(api.machines.running.has(9200)).toBe(true);
  expect((await second).output).toContain("restores nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst");
  expect(await runOnVm()).not.toBe(run);
});

test("one that is not proved stays, and is told by the exit code; a drill sweeps it once it is", async () => {
  const run = await runOnVm();
  const { smbios1 = "" } = await config();
  await api.ok("PUT", "/nodes/pve/qemu/9200/config", { smbios1: `uuid=${randomUUID()}` });
  const refused = await homelab("sweep");
  expect(refused.code).toBe(1);
  expect(refused.output).toContain("left alone: run");
  expect(refused.output).toContain("its UUID is not the run's");
  expect(await runOnVm()).toBe(run);

  await api.ok("PUT", "/nodes/pve/qemu/9200/config", { smbios1 });
  await workspace.write({ drill: [["agentSeconds: 600", "agentSeconds: 1"]] });
  const drilled = await homelab("drill");
  expect(drilled.output).toContain(`VM 9200 (docker-drill) on pve: removed: run ${run} expired at`);
  expect(drilled.output).toContain("report ");
  expect(drilled.code).toBe(1);
  expect(api.lab.guests.exists(9200)).toBe(false);
  expect(await resourcesInState()).toBe(0);
  const runs = (await readdir(path.join(workspace.project, "drills"))).filter((name) => /^\d/.test(name));
  expect(runs).toHaveLength(3);
});
