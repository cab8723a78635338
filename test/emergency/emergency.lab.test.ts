/**
 * The emergency as a whole, in a lab of its own: production is lost, nothing takes its place by mistake, the restore brings it
 * back as it was, and production's stack lands on it. `npm run test:long`.
 *
 * What this does not prove: anything about a real Proxmox VE beyond its documented API.
 */
import { z } from "zod";
import { listRuns, readNewEvidence } from "../../cli/rehearsal/evidence";
import { nodeCommand } from "../../cli/lab/node-command";
import { destroyVm, stopVm, vmConfig, vmStatus } from "../../pve/nodes/qemu";
import { waitForTask } from "../../pve/nodes/tasks";
import {
  backupNow,
  client,
  type Ended,
  evidenceDir,
  inGuest,
  lab,
  pulumi,
  pulumiAnyway,
  requests,
  run,
} from "../support/rehearsal-lab";
import { lostStateTests } from "./lost-state";
import { archivesOn } from "./outside";

const MINUTE = 60_000;
const VM = 200;
const MARK = "/var/lib/docker/volumes/emergency-proof";

type Config = Record<string, string>;
let archive: string;
let before: Config;

async function task(upid: string): Promise<void> {
  await waitForTask(client, upid, { timeoutMs: 2 * MINUTE, signal: new AbortController().signal });
}

/** The VM is gone with its disks, as after a wrong click or a dead disk; the backup job is not. */
async function loseVm(): Promise<void> {
  await task(await stopVm(client, "pve", VM));
  const config = await vmConfig(client, "pve", VM);
  if (config["protection"] === "1")
    await client.put(`/nodes/pve/qemu/${VM}/config`, z.unknown(), { protection: false });
  await task(await destroyVm(client, "pve", VM, { unreferencedDisks: true }));
}

async function vms(): Promise<number[]> {
  const guests = await client.get("/cluster/resources", z.array(z.looseObject({ vmid: z.number() })), { type: "vm" });
  return guests.map(({ vmid }) => vmid);
}

const archives = (): string[] => archivesOn(lab().dir);

function writesSince(count: number): string[] {
  return requests()
    .slice(count)
    .filter(({ method }) => method !== "GET")
    .map(({ method, path }) => `${method} ${path}`);
}

/** What must be the same before and after. Proxmox draws `vmgenid` anew, so that the guest knows of its restore. */
function identity(config: Config): Config {
  return Object.fromEntries(Object.entries(config).filter(([key]) => key !== "vmgenid" && key !== "digest"));
}

const restore = (...args: string[]): Promise<Ended> => run(nodeCommand("cli/main.ts", ["restore", ...args]));

test(
  "production is up, holds data and is backed up",
  async () => {
    await pulumi(["up", "-s", "prod", "--yes"]);
    await inGuest(VM, `mkdir -p ${MARK} && date > ${MARK}/stamp && sync`);
    archive = await backupNow();
    before = await vmConfig(client, "pve", VM);
  },
  15 * MINUTE,
);

test(
  "a restore beside a VM that stands changes nothing and says what it found",
  async () => {
    const count = requests().length;
    const ended = await restore();
    expect(ended.code).toBe(1);
    expect(ended.output).toContain('VM 200 exists ("docker" on pve, running, with local-lvm:vm-200-disk-0');
    expect(writesSince(count)).toEqual([]);
  },
  3 * MINUTE,
);

let outageAt: string;

test(
  "the VM is lost: an update of production makes no empty one in its place and prunes nothing",
  async () => {
    outageAt = new Date().toISOString().replace(/\.\d+Z$/, "Z");
    await loseVm();
    const kept = archives();
    const count = requests().length;
    const { code, output } = await pulumiAnyway(["up", "-s", "prod", "--yes"]);
    expect((await pulumiAnyway(["up", "-s", "prod", "--refresh", "--yes"])).code).not.toBe(0);
    expect(code).not.toBe(0);
    expect(output).toContain("Unable to make VM 200 on pve: it does not exist, but storage nas holds an archive of it");
    expect(output).toContain(archive);
    expect(output).toContain("Run pulumi up -s restore");
    expect(writesSince(count)).toEqual([]);
    expect(await vms()).toEqual([]);
    expect(archives()).toEqual(kept);
  },
  8 * MINUTE,
);

test(
  "one command brings it back as it was, proves it, and leaves the stack empty",
  async () => {
    const runsBefore = await listRuns(evidenceDir());
    const count = requests().length;
    const ended = await restore("--outage", outageAt);
    if (ended.code !== 0) throw new Error(ended.output);
    const writes = writesSince(count).filter((call) => !call.includes("/agent/"));
    expect(writes).toEqual([
      "POST /nodes/pve/qemu", // an empty VM of its own, in the pool that gives the rights on it
      "POST /nodes/pve/qemu", // the restore into it
      "PUT /nodes/pve/qemu/200/config",
      "POST /nodes/pve/qemu/200/status/start",
    ]);
    const { evidence } = await readNewEvidence(evidenceDir(), runsBefore);
    expect(evidence).toMatchObject({ kind: "emergency", verdict: "passed", source: { archive }, target: { vmId: VM } });
    expect(evidence.outage).toMatchObject({ at: outageAt });
    expect(evidence.outage?.seconds).toBeGreaterThan(evidence.rto.seconds ?? Infinity);
    expect(evidence.rpo.seconds).toBeGreaterThanOrEqual(0);
    expect(evidence.checks.every(({ status }) => status === "passed")).toBe(true);
    expect(identity(await vmConfig(client, "pve", VM))).toEqual(identity(before));
    expect((await vmStatus(client, "pve", VM)).status).toBe("running");
    await inGuest(VM, `test -s ${MARK}/stamp`);
    const state = z.object({ deployment: z.object({ resources: z.array(z.unknown()).optional() }) });
    const { deployment } = state.parse(JSON.parse((await pulumi(["stack", "export", "-s", "restore"])).stdout));
    expect(deployment.resources ?? []).toEqual([]);
  },
  20 * MINUTE,
);

test(
  "production lands on it: nothing to change but what is newer than the backup, and the next backup works",
  async () => {
    await pulumi(["preview", "-s", "prod", "--refresh", "--expect-no-changes"]);
    await pulumi(["up", "-s", "prod", "--refresh", "--yes"]);
    await pulumi(["preview", "-s", "prod", "--expect-no-changes"]);
    const next = await backupNow();
    expect(next).not.toBe(archive);
    expect(archives()).toHaveLength(2);
  },
  15 * MINUTE,
);

test(
  "where the storage is gone too, no empty VM is made, before and after it is defined again",
  async () => {
    await loseVm();
    const storage = await client.get("/storage/nas", z.looseObject({ path: z.string() }));
    await client.delete("/storage/nas", z.unknown());
    const kept = archives();
    const count = requests().length;
    const blind = await pulumiAnyway(["up", "-s", "prod", "--yes"]);
    expect(blind.output).toContain(
      "Unable to make VM 200 on pve: it does not exist, and whether there are archives of it can't be told",
    );
    expect(writesSince(count)).toEqual([]);

    await client.post("/storage", z.unknown(), {
      storage: "nas",
      type: "dir",
      path: storage.path,
      content: "backup",
      shared: true,
    });
    const seeing = await pulumiAnyway(["up", "-s", "prod", "--yes"]);
    expect(seeing.output).toContain(
      "Unable to make VM 200 on pve: it does not exist, but storage nas holds 2 archives of it",
    );
    expect([blind.code, seeing.code]).not.toContain(0);
    expect(await vms()).toEqual([]);
    expect(archives()).toEqual(kept);
  },
  10 * MINUTE,
);

test(
  "the second emergency is like the first, and production lands on it",
  async () => {
    const ended = await restore();
    if (ended.code !== 0) throw new Error(ended.output);
    expect(identity(await vmConfig(client, "pve", VM))).toEqual(identity(before));
    // The storage that was defined by hand may differ in what Proxmox fills in by itself.
    await pulumi(["up", "-s", "prod", "--refresh", "--yes"]);
    await pulumi(["preview", "-s", "prod", "--refresh", "--expect-no-changes"]);
  },
  20 * MINUTE,
);

describe("the state is lost", lostStateTests);
