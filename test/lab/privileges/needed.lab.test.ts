/**
 * Production, drills, the loss of the VM and its restore, by the real `pulumi` and the real providers, with the tokens that one run of
 * the script of `homelab roles` makes: nothing is refused, although Proxmox takes rights on a VM away with it, and each privilege is
 * needed by something that was called. Without machines; guests answer, but do nothing.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { backupNow } from "../../../cli/backup";
import { readDrillConfig } from "../../../cli/drill/config";
import { runDrills } from "../../../cli/drill/drill";
import { pulumiIn, type RunPulumi } from "../../../cli/drill/pulumi";
import { accessOf } from "../../../cli/lab/access-rules";
import { readProdConfig } from "../../../cli/lab/stack-files";
import { identitiesOf, type Identity } from "../../../cli/privileges/grants";
import { Progress } from "../../../cli/progress";
import { readRestoreConfig } from "../../../cli/restore/config";
import { runRestore } from "../../../cli/restore/restore";
import { type AccessRules } from "../../../lab/privileges/access-control";
import { type GuestAgent } from "../../../lab/types";
import { listBackups } from "../../../pve/nodes/storage";
import { extractConfig } from "../../../pve/nodes/vzdump";
import { parseVmConfig } from "../../../pve/vm-config";
import { type ProdConfig, type StackConfig } from "../../../stacks/config";
import { ReachableApis } from "../../bad-input/reachable";
import { Workspace } from "../../bad-input/workspace";
import { type ApiLab, TOKEN } from "../api-lab";
import { callsOf, type LoggedCall, outcomeOf } from "./replay";

jest.setTimeout(900_000);

const TOKENS = {
  prod: "homelab-prod@pve!iac=22222222-2222-3333-4444-555555555555",
  drill: "homelab-drill@pve!iac=33333333-2222-3333-4444-555555555555",
};
const CONFIG = [
  "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:",
  "agent: enabled=1",
  "memory: 1024",
  "name: docker",
  "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0",
  "scsi0: local-lvm:vm-200-disk-0,size=1G",
  "",
].join("\n");
const FIRST: readonly (readonly [string, string])[] = [
  ["diskGiB: 16", "diskGiB: 2"],
  ["sshPrivateKeyFile: ~/.ssh/id_ed25519", "sshPrivateKeyFile: key"],
  ["192.168.20.200/24", "127.0.0.1/8"],
  ["gateway: 192.168.20.1", "gateway: 127.0.0.2"],
];
const CHANGED: readonly (readonly [string, string])[] = [
  ...FIRST.slice(1),
  ["diskGiB: 16", "diskGiB: 3"],
  ["cores: 2", "cores: 1"],
  ["nameservers: [192.168.20.1]", "nameservers: [192.168.20.2]"],
];
const PROD: readonly (readonly [string, string])[] = [
  ["debian.qcow2\n    fileName: debian.qcow2", "image.raw\n    fileName: image.raw"],
  ["timeoutSeconds: 900", "timeoutSeconds: 3"],
];
const DRILL: readonly (readonly [string, string])[] = [
  // Proxmox has the key for each of these; the committed stack uses only one.
  ["storage: local-lvm", "storage: local-lvm\n    memoryMiB: 512\n    cores: 1"],
  ["checkSeconds: 600", "checkSeconds: 2"],
  ["agentSeconds: 600", "agentSeconds: 5"],
];

const RESTORE = `config:
  homelab:kind: restore
  homelab:targets: { rtoMinutes: 240, rpoMinutes: 1500 }
  homelab:timeouts: { restoreSeconds: 3600, startSeconds: 120, agentSeconds: 5, checkSeconds: 2, canarySkewSeconds: 5 }
`;
const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst";

/** Every command ends at once and says nothing. */
const AGENT: GuestAgent = {
  execute: async <T>(command: string): Promise<T> => {
    const answers: Record<string, unknown> = {
      "guest-exec": { pid: 1 },
      "guest-exec-status": { exited: true, exitcode: 1 },
    };
    return (answers[command] ?? {}) as T;
  },
};

let workspace: Workspace;
let apis: ReachableApis;
let api: ApiLab;
let stacks: Record<string, StackConfig>;
const log: LoggedCall[] = [];

beforeAll(async () => {
  workspace = await Workspace.create();
  await workspace.write({ project: FIRST, prod: PROD, drill: DRILL });
  await writeFile(path.join(workspace.project, "Pulumi.restore.yaml"), RESTORE);
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path.join(workspace.project, "key")]);
  stacks = {
    prod: await readProdConfig(workspace.project, "prod"),
    drill: await readDrillConfig(workspace.project, "drill"),
    restore: await readRestoreConfig(workspace.project, "restore"),
  };
  apis = await ReachableApis.start({ apiTokens: [TOKEN, ...Object.values(TOKENS)], access: accessOf(stacks) });
  api = apis.api;
  for (const vmId of [200, 9200]) api.machines.agents.set(vmId, AGENT);
  const dump = path.join(api.lab.spec.dir, "fs/mnt/pve/nas/dump");
  await mkdir(dump, { recursive: true });
  let day = 20;
  api.backups.onVzdump = () => writeFile(path.join(dump, `vzdump-qemu-200-2026_11_${day++}-02_00_00.vma.zst`), CONFIG);
  api.backups.onRestore = async (request) => {
    const disk = await api.lab.volumes.allocateDisk("local-lvm", request.vmId, 2 ** 30);
    await request.writeConfig({ ...parseVmConfig(CONFIG), ...request.overrides, scsi0: `${disk},size=1G` });
    await request.removeLock();
  };
  await runProduction();
  await prepareDrills();
  await runDrill();
  await runDrill();
  await loseProduction();
  // Whether its archive is good can be asked before it is needed.
  await runDrill();
  await runEmergency();
  const lines = readFileSync(api.requestLog, "utf8").trimEnd().split("\n");
  log.push(...lines.map((line) => JSON.parse(line) as LoggedCall));
  // What a standing drill has, for asking again.
  api.lab.pools.addGuest("homelab-drill", 9200);
  api.lab.guests.write(9200, { current: { agent: "enabled=1", net0: "virtio,bridge=vmbr99" } });
  await api.lab.machines.start(9200, {}, { log: () => undefined, signal: new AbortController().signal });
  await api.ok("PUT", "/storage/nas", { content: "backup,images" });
  for (const storage of ["local-lvm", "nas"]) await api.lab.volumes.allocateDisk(storage, 9200, 2 ** 20);
});
afterAll(async () => {
  await apis[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

function environment(kind: keyof typeof TOKENS): NodeJS.ProcessEnv {
  return { ...apis.environment, PROXMOX_VE_API_TOKEN: TOKENS[kind] };
}

/** Made, changed, looked at, and backed up. Nobody answers on the guest's SSH port, so each update ends there. */
async function runProduction(): Promise<void> {
  const up = ["up", "-s", "prod", "--yes"];
  const first = await workspace.pulumi(up, environment("prod"));
  expect(first.output).toContain("proxmoxve:backup:Job backup-job created");
  await workspace.write({ project: CHANGED, prod: PROD, drill: DRILL });
  // The lab writes a cloud-init drive anew only while its guest is off. A VM that was made by hand has no such drives.
  await api.machines.stop(200);
  await api.ok("PUT", "/nodes/pve/qemu/200/config", { protection: 0 });
  await api.ok("PUT", "/nodes/pve/qemu/200/config", { delete: "ide2,ide3" });
  const second = await workspace.pulumi([...up, "--refresh"], environment("prod"));
  expect(second.output).toContain("proxmoxve:index:VmLegacy docker-vm updated");
  const config = await readProdConfig(workspace.project, "prod");
  await backupNow({ config, progress: progress(), client: api.client(TOKENS.prod) });
}

/** Another guest on the node, and a NAS that holds disks too. */
async function prepareDrills(): Promise<void> {
  api.lab.guests.write(300, { current: { name: "other", net0: "virtio,bridge=vmbr0" } });
  await api.ok("PUT", "/storage/nas", { content: "backup,images" });
}

/** From the archive to the removal of the VM; its checks fail, which is no matter here. */
async function runDrill(): Promise<void> {
  const code = await runDrills({
    ...{ config: await readDrillConfig(workspace.project, "drill"), stack: "drill", projectDir: workspace.project },
    ...{ selection: { by: "last", count: 1 }, keep: false, progress: progress() },
    pulumi: pulumiAs("drill"),
    ...{ signal: new AbortController().signal, client: api.client(TOKENS.drill) },
  });
  expect(code).toBe(1);
  expect(api.lab.guests.list()).not.toContain(9200);
  expect(api.lab.pools.find("homelab-drill")).toMatchObject({ vms: [] });
}

/** The VM is gone, and with it what was granted on it and its place in the pool. Its archives are still there to be read. */
async function loseProduction(): Promise<void> {
  if (api.machines.running.has(200)) await api.machines.stop(200);
  await api.ok("PUT", "/nodes/pve/qemu/200/config", { protection: 0 });
  await api.task("DELETE", "/nodes/pve/qemu/200");
  expect(api.lab.pools.find("homelab-prod")).toMatchObject({ vms: [] });
  for (const kind of ["drill", "prod"] as const) {
    const client = api.client(TOKENS[kind]);
    expect((await listBackups(client, "pve", "nas", 200)).map(({ volid }) => volid)).toEqual([ARCHIVE]);
    expect(await extractConfig(client, "pve", ARCHIVE)).toBe(CONFIG);
  }
}

/** Production's token brings the VM back, and goes on with it. */
async function runEmergency(): Promise<void> {
  const code = await runRestore({
    ...{ config: await readRestoreConfig(workspace.project, "restore"), stack: "restore" },
    ...{ projectDir: workspace.project, pulumi: pulumiAs("prod"), progress: progress() },
    ...{ production: { stack: "prod", read: productionConfig }, client: api.client(TOKENS.prod) },
    signal: new AbortController().signal,
  });
  expect(code).toBe(1);
  expect(api.lab.pools.find("homelab-prod")).toMatchObject({ vms: [200] });
  const { output } = await workspace.pulumi(["up", "-s", "prod", "--yes", "--refresh"], environment("prod"));
  expect(output).not.toContain("Permission check failed");
  expect(output).toContain("proxmoxve:index:VmLegacy docker-vm");
  const config = await readProdConfig(workspace.project, "prod");
  await backupNow({ config, progress: progress(), client: api.client(TOKENS.prod) });
}

async function productionConfig(): Promise<ProdConfig> {
  return readProdConfig(workspace.project, "prod");
}

function pulumiAs(kind: keyof typeof TOKENS): RunPulumi {
  return pulumiIn(workspace.project, { ...workspace.environment, ...environment(kind) });
}

function progress(): Progress {
  const output = { write: () => undefined, isTerminal: false, columns: () => 80 };
  return new Progress(path.join(workspace.dir, "log"), output);
}

function identity(kind: keyof typeof TOKENS): Identity {
  const found = identitiesOf(stacks).find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`no identity of kind ${kind}`);
  return found;
}

const callerOf = (kind: keyof typeof TOKENS): string => TOKENS[kind].replace(/=.*/, "");

describe.each(["prod", "drill"] as const)("the token of %s", (kind) => {
  test("has all that was called", () => {
    const calls = callsOf(log, callerOf(kind));
    expect(calls.length).toBeGreaterThan(15);
    expect(calls.filter(({ status }) => status === 403)).toEqual([]);
  });

  test("has nothing that was not needed", async () => {
    const calls = callsOf(log, callerOf(kind));
    const rules = accessOf(stacks);
    const before = await outcomes(rules, calls);
    expect(before.filter((outcome) => outcome.startsWith("Permission check failed"))).toEqual([]);
    const idle: string[] = [];
    for (const { path: where, role, privileges } of identity(kind).grants) {
      for (const privilege of privileges) {
        const after = await outcomes(without(rules, { where, role, privilege }), calls);
        const needed = calls.some((_, index) => after[index] !== before[index]);
        if (!needed) idle.push(`${privilege} on ${where}`);
      }
    }
    expect(idle).toEqual([]);
  });
});

test("neither token can do the other's work", async () => {
  const rules = accessOf(stacks);
  const as = (kind: keyof typeof TOKENS, call: LoggedCall): LoggedCall => ({ ...call, user: callerOf(kind) });
  const theirs = (["prod", "drill"] as const).flatMap((kind) => callsOf(log, callerOf(kind)));
  const changes = theirs.filter(({ method, path: where }) => method !== "GET" && !where.includes("/tasks/"));
  expect(changes.length).toBeGreaterThan(15);
  const refused = await Promise.all(
    changes.map(async (call) => {
      const other = call.user === callerOf("prod") ? "drill" : "prod";
      const outcome = await outcomeOf(api, rules, as(other, call));
      return outcome.startsWith("Permission check failed")
        ? []
        : [`${call.method} ${call.path} as ${other}: ${outcome}`];
    }),
  );
  expect([...new Set(refused.flat())]).toEqual([]);
});

async function outcomes(rules: AccessRules, calls: readonly LoggedCall[]): Promise<string[]> {
  const all: string[] = [];
  for (const call of calls) all.push(await outcomeOf(api, rules, call));
  return all;
}

/** The rules with one privilege less on one path; the role stays whole elsewhere. */
function without(
  rules: AccessRules,
  { where, role, privilege }: { readonly where: string; readonly role: string; readonly privilege: string },
): AccessRules {
  const reduced = (rules.roles[role] ?? []).filter((one) => one !== privilege);
  return {
    ...rules,
    roles: { ...rules.roles, Reduced: reduced },
    acl: rules.acl.map((entry) =>
      entry.path === where && entry.role === role ? { ...entry, role: "Reduced" } : entry,
    ),
  };
}
