/** One emulated node, put together from its parts, until disposed. */
import { mkdirSync, writeFileSync, appendFileSync } from "node:fs";
import { join } from "node:path";
import { BackupJobs } from "./backup-jobs";
import { createBackupEngine } from "./backup/engine";
import { startCloudflare } from "./cloudflare/server";
import { type Lab } from "./context";
import { messageOf } from "./errors";
import { startControl } from "./faults/control";
import { Faults } from "./faults/faults";
import { Guests } from "./guests";
import { writeJsonFile } from "./json-file";
import { startOutside } from "./outside";
import { Pools } from "./pools";
import { AccessList } from "./privileges/access-list";
import { createMachineRunner, setUpBridges } from "./qemu";
import { startRegistry } from "./registry/server";
import { startScheduler } from "./scheduler";
import { startApiServer } from "./server";
import { type LabSpec } from "./spec";
import { LabVolumes } from "./storage";
import { StorageConfig } from "./storage-config";
import { TaskStore } from "./tasks";
import { ensureServerIdentity } from "./tls";
import { startGuest } from "./vm/machine-tasks";
import { startVzdump } from "./vzdump";

/** Port of PVE's API. */
const API_PORT = 8006;

/** Whose tasks the node's own are: autostart and scheduled backups. */
const NODE_USER = "root@pam";

/** Starts everything inside the current network namespace. Resolves when clients can come. */
export async function startLab(spec: LabSpec): Promise<AsyncDisposable> {
  const logFile = join(spec.dir, "lab.log");
  const log = (line: string): void => {
    appendFileSync(logFile, `${new Date().toISOString()} ${line}\n`);
  };
  mkdirSync(spec.dir, { recursive: true });
  log(`lab ${spec.id} starts`);
  const parts = new Parts();
  try {
    await startParts(spec, parts, log);
  } catch (error) {
    await parts[Symbol.asyncDispose]();
    throw error;
  }
  return parts;
}

async function startParts(spec: LabSpec, parts: Parts, log: (line: string) => void): Promise<void> {
  const bootedAt = Date.now();
  parts.add(() => log("lab ends"));
  await setUpBridges(spec.bridges);
  const { lab, stopMachines } = createLab(spec, bootedAt, log);
  parts.add(stopMachines);
  parts.add(() => lab.tasks.stopAll());
  const names = [spec.node.address, "127.0.0.1", spec.node.name, "localhost"];
  const { caPem, server: tls } = await ensureServerIdentity(spec.dir, names, new Date());
  const caFile = join(spec.dir, "ca.pem");
  writeFileSync(caFile, caPem);
  const cloudflare = await startCloudflare({ spec, tls, dir: spec.dir });
  parts.add(() => cloudflare[Symbol.asyncDispose]());
  const registry = await startRegistry({ spec });
  parts.add(() => registry[Symbol.asyncDispose]());
  const requestLog = join(spec.dir, "requests.ndjson");
  const api = await startApiServer({ lab, tls, address: spec.node.address, port: API_PORT, requestLog, log });
  parts.add(() => api[Symbol.asyncDispose]());
  const control = await startControl(lab.faults, spec.dir);
  parts.add(() => control[Symbol.asyncDispose]());
  const outside = await startOutside(spec.outside ?? []);
  parts.add(() => outside[Symbol.asyncDispose]());
  if (spec.scheduler !== false) {
    const scheduler = startScheduler(
      lab,
      ({ id, options }) => {
        log(`backup job ${id} is due: ${startVzdump(lab, options, { user: NODE_USER })}`);
      },
      log,
    );
    parts.add(() => scheduler[Symbol.dispose]());
  }
  startGuestsOnBoot(lab, log);
  const endpoint = `https://${spec.node.address}:${API_PORT}`;
  writeJsonFile(join(spec.dir, "lab.json"), { pid: process.pid, endpoint, caFile });
}

/** What runs, ended in the opposite order; one failure does not keep the rest alive. */
class Parts implements AsyncDisposable {
  private readonly closers: (() => PromiseLike<void> | void)[] = [];

  add(close: () => PromiseLike<void> | void): void {
    this.closers.push(close);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0)
      throw new AggregateError(failures, "Unable to end every part of the lab cleanly. See its log.");
  }
}

/** The node's state and machines, without servers. */
export function createLab(
  spec: LabSpec,
  bootedAt: number,
  log: (line: string) => void,
): { lab: Lab; stopMachines: () => Promise<void> } {
  const now = (): Date => new Date();
  const faults = new Faults(log);
  const storages = new StorageConfig(spec, faults);
  const volumes = new LabVolumes(storages);
  const guests = new Guests(spec.dir, spec.node.name);
  const machines = createMachineRunner({ dir: spec.dir, nodeCores: spec.node.cores, volumes });
  const backups = createBackupEngine({
    volumes,
    machines,
    guests,
    tmpDir: join(spec.dir, "vzdump-tmp"),
    node: spec.node.name,
    now,
  });
  const lab: Lab = {
    spec,
    now,
    uptime: () => Math.floor((Date.now() - bootedAt) / 1000),
    guests,
    tasks: new TaskStore(join(spec.dir, "tasks"), spec.node.name, now),
    storages,
    volumes,
    machines,
    backups,
    jobs: new BackupJobs(spec.dir),
    pools: new Pools(spec.dir, spec.access?.pools),
    acl: new AccessList(spec.dir, spec.access),
    faults,
  };
  return { lab, stopMachines: async () => machines[Symbol.asyncDispose]() };
}

/** As `pve-guests`: backup locks that a dead node left are removed, then what has `onboot` starts, one after another. */
function startGuestsOnBoot(lab: Lab, log: (line: string) => void): void {
  for (const vmId of lab.guests.list().filter((id) => lab.guests.read(id).current["lock"] === "backup")) {
    log(`removing left over backup lock of VM ${vmId}`);
    lab.guests.removeLock(vmId, "backup");
  }
  const vmIds = lab.guests.list().filter((vmId) => lab.guests.read(vmId).current["onboot"] === "1");
  void (async () => {
    for (const vmId of vmIds) {
      const upid = lab.tasks.start({
        type: "qmstart",
        id: String(vmId),
        user: NODE_USER,
        work: (context) => startGuest(lab, vmId, context),
      });
      await lab.tasks.wait(upid);
      log(`start on boot: VM ${vmId}: ${lab.tasks.status(upid).exitstatus ?? "running"}`);
    }
  })().catch((error: unknown) => {
    log(`start on boot: ${messageOf(error)}`);
  });
}
