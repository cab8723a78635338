/** An engine over files in a temporary folder, with guests that a test describes. */
import { createCipheriv } from "node:crypto";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBackupEngine } from "../../../lab/backup/engine";
import { type BackupEngine, type GuestStore, type RestoreRequest, type VzdumpRequest } from "../../../lab/backup/types";
import { type MachineRunner, type TaskContext, type VmConfig, type VolumeStore } from "../../../lab/types";

/** Raw files; `full` and `freed` are for the tests. */
export class FileVolumes implements VolumeStore {
  readonly freed: string[] = [];
  /** Storages that refuse allocation. */
  readonly full = new Set<string>();

  constructor(private readonly dir: string) {
    mkdirSync(dir, { recursive: true });
  }

  pathOf(volumeId: string): string {
    return join(this.dir, volumeId.replace(":", "_"));
  }

  private make(volumeId: string, sizeBytes: number): string {
    const file = openSync(this.pathOf(volumeId), "w");
    ftruncateSync(file, sizeBytes);
    closeSync(file);
    return volumeId;
  }

  async allocateDisk(storage: string, vmId: number, sizeBytes: number): Promise<string> {
    if (this.full.has(storage)) throw new Error(`storage '${storage}' is full`);
    let index = 0;
    while (existsSync(this.pathOf(`${storage}:vm-${vmId}-disk-${index}`))) index++;
    return this.make(`${storage}:vm-${vmId}-disk-${index}`, sizeBytes);
  }

  async allocateCloudInit(storage: string, vmId: number): Promise<string> {
    return this.make(`${storage}:vm-${vmId}-cloudinit`, 4 * 1024 * 1024);
  }

  async sizeOf(volumeId: string): Promise<number> {
    return statSync(this.pathOf(volumeId)).size;
  }

  async free(volumeId: string): Promise<void> {
    this.freed.push(volumeId);
    rmSync(this.pathOf(volumeId), { force: true });
  }

  write(volumeId: string, offset: number, data: Buffer): void {
    const file = openSync(this.pathOf(volumeId), "r+");
    writeSync(file, data, 0, data.length, offset);
    closeSync(file);
  }

  read(volumeId: string): Buffer {
    return readFileSync(this.pathOf(volumeId));
  }

  list(): string[] {
    return readdirSync(this.dir).sort();
  }
}

/** No machine runs. */
export const noMachines: MachineRunner = {
  start: () => Promise.reject(new Error("unexpected start")),
  stop: () => Promise.reject(new Error("unexpected stop")),
  shutdown: () => Promise.reject(new Error("unexpected shutdown")),
  status: () => ({ status: "stopped", uptime: 0, qmpStatus: "stopped" }),
  qmp: () => undefined,
  agent: () => undefined,
  driveId: (key) => `drive-${key}`,
  consoleTail: () => Promise.resolve([]),
};

/** A task's context whose lines can be read. */
export interface RecordedContext extends TaskContext {
  readonly lines: string[];
}

export class EngineFixture {
  readonly dir = mkdtempSync(join(tmpdir(), "homelab-backup-"));
  readonly dumpDir = join(this.dir, "nas", "dump");
  readonly tmpDir = join(this.dir, "tmp");
  readonly volumes = new FileVolumes(join(this.dir, "volumes"));
  /** Raw configuration by guest. */
  readonly configs = new Map<number, string>();
  readonly locks = new Map<number, string>();
  readonly engine: BackupEngine;

  constructor(machines: (fixture: EngineFixture) => MachineRunner, now?: () => Date) {
    const guests: GuestStore = {
      readConfig: async (vmId) => this.configs.get(vmId),
      lock: async (vmId) => {
        const held = this.locks.get(vmId);
        if (held !== undefined) throw new Error(`VM is locked (${held})`);
        this.locks.set(vmId, "backup");
      },
      unlock: async (vmId) => void this.locks.delete(vmId),
    };
    this.engine = createBackupEngine({
      volumes: this.volumes,
      machines: machines(this),
      guests,
      tmpDir: this.tmpDir,
      node: "pve",
      now,
    });
  }

  context(signal = new AbortController().signal, onLine?: (line: string) => void): RecordedContext {
    const lines: string[] = [];
    const log = (line: string): void => {
      lines.push(line);
      onLine?.(line);
    };
    return { lines, log, signal };
  }

  backup(request: Partial<VzdumpRequest>, context: TaskContext): Promise<void> {
    return this.engine.vzdump(
      {
        vmIds: [200],
        commandLine: "vzdump 200 --storage nas",
        storage: "nas",
        dumpDir: this.dumpDir,
        dumpDirLabel: "/mnt/pve/nas/dump",
        mode: "snapshot",
        compress: "zstd",
        ...request,
      },
      context,
    );
  }

  /** Restores and returns the configuration that was written. `events` gets the order of what the engine asked for. */
  async restore(
    request: Partial<RestoreRequest> & Pick<RestoreRequest, "archivePath">,
    context: TaskContext,
    events: string[] = [],
  ): Promise<VmConfig> {
    let written: VmConfig = {};
    await this.engine.restore(
      {
        vmId: 9200,
        checkStorage: (storage) => void events.push(`check ${storage}`),
        writeConfig: async (config) => {
          events.push(`write ${Object.keys(config).length} keys`);
          written = config;
        },
        removeLock: async () => void events.push("remove lock"),
        ...request,
      },
      context,
    );
    return written;
  }

  dumps(): string[] {
    return existsSync(this.dumpDir) ? readdirSync(this.dumpDir).sort() : [];
  }

  /** The only archive there is. */
  archive(): string {
    const [name, ...others] = this.dumps().filter((file) => /\.vma(\.[a-z]+)?$/.test(file));
    if (name === undefined || others.length > 0)
      throw new Error(`expected one archive, found: ${this.dumps().join(", ")}`);
    return join(this.dumpDir, name);
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Bytes that look random, always the same for a seed, and do not compress. */
export function noise(length: number, seed: number): Buffer {
  return createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(length));
}

export const MIB = 1024 * 1024;
