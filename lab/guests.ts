/**
 * The guests' configuration files, `<dir>/nodes/<node>/qemu-server/<vmid>.conf`, in PVE's own format: the current section
 * and, for changes that wait for the next start, a `[PENDING]` section.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseVmConfig, printVmConfig } from "../pve/vm-config";
import { type GuestStore } from "./backup/types";
import { writeTextFile } from "./json-file";
import { type VmConfig } from "./types";
import { without } from "./without";

/** How long PVE waits for another task's hold on a configuration (PVE::AbstractConfig `lock_config`). */
const LOCK_TIMEOUT_MS = 10_000;

const PENDING_HEADER = "[PENDING]";

/** One guest's configuration. */
export interface GuestConfig {
  readonly current: VmConfig;
  /** Values that replace those of `current` at the next start. */
  readonly pending: VmConfig;
  /** Keys that the next start removes. */
  readonly pendingDelete: readonly string[];
  /** SHA-1 of the file. */
  readonly digest: string;
}

/** What `write` stores. */
export interface GuestUpdate {
  readonly current: VmConfig;
  readonly pending?: VmConfig;
  readonly pendingDelete?: readonly string[];
}

export class Guests implements GuestStore {
  private readonly folder: string;
  private readonly chains = new Map<number, Promise<unknown>>();

  constructor(
    dir: string,
    private readonly node: string,
    private readonly lockTimeoutMs = LOCK_TIMEOUT_MS,
  ) {
    this.folder = join(dir, "nodes", node, "qemu-server");
    mkdirSync(this.folder, { recursive: true });
  }

  list(): number[] {
    return readdirSync(this.folder)
      .map((name) => /^(\d+)\.conf$/.exec(name)?.[1])
      .filter((id) => id !== undefined)
      .map(Number)
      .sort((left, right) => left - right);
  }

  exists(vmId: number): boolean {
    return existsSync(this.fileOf(vmId));
  }

  /** @throws Error with PVE's text when there is no such guest. */
  read(vmId: number): GuestConfig {
    if (!this.exists(vmId))
      throw new Error(`Configuration file 'nodes/${this.node}/qemu-server/${vmId}.conf' does not exist`);
    const text = readFileSync(this.fileOf(vmId), "utf8");
    const { delete: deleted, ...pending } = parseVmConfig(text.split(`\n${PENDING_HEADER}\n`, 2)[1] ?? "");
    return {
      current: parseVmConfig(text),
      pending,
      pendingDelete: (deleted ?? "").split(/[,;\s]+/).filter((key) => key !== ""),
      digest: createHash("sha1").update(text).digest("hex"),
    };
  }

  /** Snapshots that stand in the file, such as one that was put there by hand: the lab makes none. */
  snapshots(vmId: number): { readonly name: string; readonly config: VmConfig }[] {
    const [, ...sections] = readFileSync(this.fileOf(vmId), "utf8").split(/^\[(?=[^\]\n]+\]$)/m);
    return sections.flatMap((section) => {
      const name = section.slice(0, section.indexOf("]"));
      return /^(?:PENDING$|special:)/.test(name)
        ? []
        : [{ name, config: parseVmConfig(section.slice(name.length + 1)) }];
    });
  }

  write(vmId: number, { current, pending = {}, pendingDelete = [] }: GuestUpdate): void {
    const waiting: VmConfig = { ...(pendingDelete.length > 0 ? { delete: pendingDelete.join(",") } : {}), ...pending };
    const section = Object.keys(waiting).length === 0 ? "" : `\n${PENDING_HEADER}\n${printVmConfig(waiting)}`;
    writeTextFile(this.fileOf(vmId), `${printVmConfig(current)}${section}`);
  }

  /** Makes a configuration that holds nothing but a lock. @throws Error with PVE's text when the id is taken. */
  create(vmId: number, lock: string): void {
    if (this.exists(vmId)) throw new Error(`VM ${vmId} already exists on node '${this.node}'`);
    this.write(vmId, { current: { lock } });
  }

  remove(vmId: number): void {
    rmSync(this.fileOf(vmId), { force: true });
  }

  /** @throws Error `VM is locked (…)`. */
  checkLock(vmId: number): void {
    const { lock } = this.read(vmId).current;
    if (lock !== undefined) throw new Error(`VM is locked (${lock})`);
  }

  /** Runs `work` while nobody else changes or starts this guest. @throws Error with PVE's text after 10 s of waiting. */
  async exclusively<T>(vmId: number, work: () => Promise<T> | T): Promise<T> {
    const before = this.chains.get(vmId) ?? Promise.resolve();
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.chains.set(
      vmId,
      before.then(() => released),
    );
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`can't lock file '/var/lock/qemu-server/lock-${vmId}.conf' - got timeout`));
      }, this.lockTimeoutMs);
    });
    try {
      await Promise.race([before, timeout]);
      clearTimeout(timer);
      return await work();
    } finally {
      clearTimeout(timer);
      release();
    }
  }

  async readConfig(vmId: number): Promise<string | undefined> {
    return this.exists(vmId) ? readFileSync(this.fileOf(vmId), "utf8") : undefined;
  }

  async lock(vmId: number): Promise<void> {
    await this.exclusively(vmId, () => {
      this.checkLock(vmId);
      const config = this.read(vmId);
      this.write(vmId, { ...config, current: { ...config.current, lock: "backup" } });
    });
  }

  async unlock(vmId: number): Promise<void> {
    await this.exclusively(vmId, () => {
      this.removeLock(vmId, "backup");
    });
  }

  /** Removes this lock; a missing lock or guest is no error. */
  removeLock(vmId: number, lock: string): void {
    if (!this.exists(vmId)) return;
    const config = this.read(vmId);
    if (config.current["lock"] !== lock) return;
    this.write(vmId, { ...config, current: without(config.current, "lock") });
  }

  private fileOf(vmId: number): string {
    return join(this.folder, `${vmId}.conf`);
  }
}
