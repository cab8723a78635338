/** `homelab drill` with real Pulumi, the real provider and the lab's Proxmox API, without machines: no guest ever answers. */
import { mkdirSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { readDrillConfig } from "../../../cli/drill/config";
import { type DrillArgs, runDrills } from "../../../cli/drill/drill";
import { pulumiIn } from "../../../cli/drill/pulumi";
import { Interrupted } from "../../../cli/errors";
import { Progress } from "../../../cli/progress";
import { parseVmConfig } from "../../../pve/vm-config";
import { Workspace } from "../../bad-input/workspace";
import { ApiLab, TOKEN } from "../../lab/api-lab";

jest.setTimeout(300_000);

const NAMES = [18, 19, 20].map((day) => `vzdump-qemu-200-2026_11_${day}-02_00_00.vma.zst`);
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
let env: NodeJS.ProcessEnv;
let lines: string[];

beforeAll(async () => {
  workspace = await Workspace.create();
  api = await ApiLab.start();
  const { lab, backups } = api;
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  const dump = path.join(lab.spec.dir, "fs/mnt/pve/nas/dump");
  mkdirSync(dump, { recursive: true });
  for (const name of NAMES) writeFileSync(path.join(dump, name), CONFIG);
  backups.onRestore = async (request) => {
    const disk = await lab.volumes.allocateDisk("local-lvm", request.vmId, 2 ** 30);
    await request.writeConfig({ ...parseVmConfig(CONFIG), ...request.overrides, scsi0: `${disk},size=1G` });
    await request.removeLock();
  };
  const ca = path.join(lab.spec.dir, "tls", "ca.pem");
  env = {
    ...workspace.environment,
    ...{ PROXMOX_VE_ENDPOINT: `${api.endpoint}/`, PROXMOX_VE_API_TOKEN: TOKEN },
    ...{ SSL_CERT_FILE: ca, NODE_EXTRA_CA_CERTS: ca },
  };
});
beforeEach(async () => {
  lines = [];
  await workspace.write({ drill: [["agentSeconds: 600", "agentSeconds: 1"]] });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

async function drill(more: Partial<DrillArgs> = {}): Promise<number> {
  const output = {
    write: (text: string) => void lines.push(...text.split("\n")),
    isTerminal: false,
    columns: () => 80,
  };
  using progress = new Progress(path.join(workspace.dir, "log"), output);
  const config = await readDrillConfig(workspace.project, "drill");
  return await runDrills({
    ...{
      config,
      stack: "drill",
      projectDir: workspace.project,
      selection: { by: "configuration" },
      keep: false,
      progress,
    },
    ...{
      pulumi: pulumiIn(workspace.project, env),
      signal: new AbortController().signal,
      client: api.client(),
      ...more,
    },
  });
}

const table = (): string[] =>
  lines.filter((line) => /^(?:vzdump|none)/.test(line)).map((line) => line.replaceAll(/ {2,}/g, " | "));

/** Nothing of a drill is left in the cluster. */
async function expectNothingLeft(): Promise<void> {
  expect(api.lab.guests.exists(9200)).toBe(false);
  expect((await api.lab.volumes.images()).filter(({ vmId }) => vmId === 9200)).toEqual([]);
  const { output } = await workspace.pulumi(["stack", "export", "-s", "drill"]);
  const { deployment } = JSON.parse(output) as { deployment: Record<string, unknown[] | undefined> };
  expect([deployment["resources"]?.length ?? 0, deployment["pending_operations"]?.length ?? 0]).toEqual([0, 0]);
}

test("drills over the last archives, one table, and nothing left", async () => {
  const stackFile = path.join(workspace.project, "Pulumi.drill.yaml");
  const before = await readFile(stackFile, "utf8");
  expect(await drill({ selection: { by: "last", count: 2 } })).toBe(1);
  expect(table()).toEqual(
    [2, 1].map(
      (index) =>
        expect.stringMatching(
          new RegExp(
            `^${NAMES[index] ?? ""} \\| .* \\| failed \\| - \\| - \\| phase agent failed: Unable to reach the guest agent of VM 9200 within 1 s`,
          ),
        ) as string,
    ),
  );
  await expectNothingLeft();
  expect(await readFile(stackFile, "utf8")).toBe(before);
});

test("a drill without room is refused, with evidence", async () => {
  await workspace.write({ drill: [["storage: local-lvm", "storage: local-lvm\n    memoryMiB: 65536"]] });
  expect(await drill()).toBe(1);
  expect(table()).toHaveLength(1);
  expect(table()[0]).toContain(
    "node pve has 8.0 GiB of memory left and the VM needs 64.5 GiB (64.0 GiB and 0.5 GiB to spare). " +
      "Set drill.memoryMiB to less, or stop other guests",
  );
  await expectNothingLeft();
});

test("Ctrl-C cancels the drill under way, removes its VM and ends its run as aborted", async () => {
  await workspace.write({});
  const interrupt = new AbortController();
  const waiting = setInterval(() => {
    if (!api.machines.running.has(9200)) return;
    clearInterval(waiting);
    interrupt.abort(new Interrupted("SIGINT"));
  }, 100);
  try {
    const drills = drill({ selection: { by: "last", count: 3 }, signal: interrupt.signal });
    await expect(drills).rejects.toThrow("Interrupted by SIGINT.");
  } finally {
    clearInterval(waiting);
  }
  expect(table()).toHaveLength(1);
  expect(table()[0]).toContain("| aborted |");
  expect(lines).toContain("2 of 3 drills were not run or not finished.");
  await expectNothingLeft();
  expect(await readdir(path.join(workspace.project, "drills"))).toHaveLength(4);
});
