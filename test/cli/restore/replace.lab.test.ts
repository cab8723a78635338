/**
 * `homelab restore` where a broken VM 200 still stands: the real command with real Pulumi, the real provider and the lab's API
 * with its real restore engine. There is no machine; the guest is a shell without Docker, so no verdict can be a pass, and
 * that alone is what is wrong with each.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { evidenceSchema, type Evidence } from "../../../provider/contract/evidence";
import { TOKEN } from "../../lab/api-lab";
import { Workspace } from "../../bad-input/workspace";
import { ShellGuest } from "../../faults/shell-guest";
import { ASIDE_VM, BrokenVm, KEPT_DISKS, RESTORED_DISKS } from "../../provider/support/broken-vm";

jest.setTimeout(300_000);

let workspace: Workspace;
let broken: BrokenVm;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  workspace = await Workspace.create();
  broken = await BrokenVm.make();
  broken.api.machines.agents.set(200, new ShellGuest());
  const ca = path.join(broken.api.lab.spec.dir, "tls", "ca.pem");
  env = {
    ...workspace.environment,
    ...{ PROXMOX_VE_ENDPOINT: `${broken.api.endpoint}/`, PROXMOX_VE_API_TOKEN: TOKEN },
    ...{ SSL_CERT_FILE: ca, NODE_EXTRA_CA_CERTS: ca },
  };
});
afterAll(async () => {
  await broken[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

async function writeStack(replace = ""): Promise<void> {
  const text = `config:
  homelab:kind: restore
  homelab:restore:
    profile: generic
${replace}  homelab:targets:
    rtoMinutes: 240
    rpoMinutes: 1500
  homelab:timeouts:
    restoreSeconds: 30
    startSeconds: 10
    agentSeconds: 10
    checkSeconds: 10
    canarySkewSeconds: 5
`;
  await writeFile(path.join(workspace.project, "Pulumi.restore.yaml"), text);
}

/** A process and everything that it has started, the youngest last. */
function treeOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return [pid, ...(children === "" ? [] : children.split(" ").flatMap((child) => treeOf(Number(child))))];
}

interface Ended {
  readonly end: NodeJS.Signals | number | null;
  readonly output: string;
}

/** `homelab restore`; killed with everything that it has started as soon as `dies` holds. */
async function restore(dies: () => boolean = () => false): Promise<Ended> {
  const main = path.resolve(__dirname, "../../../cli/main.ts");
  const child = spawn(process.execPath, ["--import", "tsx", main, "restore"], { cwd: workspace.project, env });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  const watch = setInterval(() => {
    if (child.pid === undefined || !dies()) return;
    clearInterval(watch);
    for (const pid of treeOf(child.pid)) process.kill(pid, "SIGKILL");
  }, 20);
  const end = await new Promise<NodeJS.Signals | number | null>((resolve) =>
    child.once("close", (code, signal) => resolve(signal ?? code)),
  );
  clearInterval(watch);
  return { end, output };
}

async function newestEvidence(): Promise<Evidence> {
  const dir = path.join(workspace.project, "drills");
  const runs = (await readdir(dir)).filter((name) => /^\d/.test(name)).sort();
  return evidenceSchema.parse(JSON.parse(await readFile(path.join(dir, runs.at(-1) ?? "", "drill.json"), "utf8")));
}

const NOTHING_PROVED = [
  expect.stringMatching(/^containers: .* could not run: the guest has no container engine/) as string,
];
/** `began` by a run that was killed. */
const asideLine = (aside: Evidence["aside"]): string =>
  `old VM   VM 8200 ("docker-aside") keeps scsi0, scsi1, unused0 of the old VM 200 since run ${aside?.began ?? ""}; the report says how to use`;

test("without a consent the command changes nothing and says how to give one", async () => {
  await writeStack();
  const count = broken.writes().length;
  const { end, output } = await restore();
  expect([end, output]).toEqual([1, expect.stringContaining("homelab:restore.replace {until:") as string]);
  expect(broken.writes().slice(count)).toEqual([]);
});

test("with one, killed in the middle of the moves: the same command replaces the VM and keeps every disk", async () => {
  const until = new Date(Date.now() + 3_600_000).toISOString();
  await writeStack(`    replace: { until: "${until}", reason: Its root disk is damaged., asideVmId: ${ASIDE_VM} }\n`);
  const { guests } = broken.api.lab;
  const killed = await restore(() => guests.exists(ASIDE_VM) && guests.read(ASIDE_VM).current["scsi0"] !== undefined);
  expect(killed.end).toBe("SIGKILL");
  expect(guests.exists(200)).toBe(true);

  const { end, output } = await restore();
  const { aside, reasons } = await newestEvidence();
  expect([end, reasons]).toEqual([1, NOTHING_PROVED]);
  expect(output).toContain(asideLine(aside));
  expect(await broken.disks()).toEqual({ ...KEPT_DISKS, ...RESTORED_DISKS });
  expect(aside).toMatchObject({ vmId: ASIDE_VM, left: [], replaced: true });
  const began = path.join(workspace.project, "drills", aside?.began ?? "");
  expect(existsSync(path.join(began, "vm-200.conf"))).toBe(true);
  expect(evidenceSchema.parse(JSON.parse(await readFile(path.join(began, "drill.json"), "utf8"))).verdict).toBe(
    "aborted",
  );
  expect(broken.api.machines.running.has(200)).toBe(true);
});

test("once more: it goes on with the restored VM, moves nothing, and still tells where the old disks are", async () => {
  const count = broken.writes().length;
  const { end, output } = await restore();
  const { aside, reasons, phases } = await newestEvidence();
  expect([end, reasons]).toEqual([1, NOTHING_PROVED]);
  expect(phases[0]?.detail).toMatch(/^restored by run /);
  expect(
    broken
      .writes()
      .slice(count)
      .filter((call) => !call.includes("/agent/")),
  ).toEqual([]);
  expect(output).toContain(asideLine(aside));
  expect(aside).toMatchObject({ vmId: ASIDE_VM, replaced: true });
});
