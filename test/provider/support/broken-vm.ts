/**
 * A broken VM 200 in the lab's API, made by a real restore of an archive and then filled with data that no archive has; the
 * provider's lease and restore on it, as the engine would run them. No machine: nothing is started.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { z } from "zod";
import type { Evidence } from "../../../provider/contract/evidence";
import type { Replace, RestorePoint, RunRef } from "../../../provider/contract/run";
import { readJournal, writeEvidence } from "../../../provider/journal";
import { createProvider } from "../../../provider/plugin";
import { DRILL_TOKENS } from "../../../provider/tokens";
import type { PveClient } from "../../../pve/client";
import type { LabSpec } from "../../../lab/spec";
import { ApiLab, TOKEN } from "../../lab/api-lab";
import { type GeneratedGuest, writeGeneratedArchive } from "../../support/vma-generator";
import { type Bag, urn } from "./fake-drill";

export const ASIDE_VM = 8200;
const MIB = 1024 ** 2;
const DUMP = "fs/mnt/pve/nas/dump";
const ARCHIVED: GeneratedGuest = {
  vmId: 200,
  name: "docker",
  disks: [{ key: "scsi0", sizeBytes: MIB, writes: [{ offset: 0, data: Buffer.from("from the archive") }] }],
  lines: ["onboot: 1", "protection: 1"],
};
/** What each disk of the broken VM holds, by its key; `unused0` was scsi2. */
export const OLD_DISKS: Readonly<Record<string, string>> = {
  scsi0: "newer than the archive",
  scsi1: "in no archive",
  unused0: "taken out and not deleted",
};

/** Where they are once the VM was replaced. */
export const KEPT_DISKS = {
  "local-lvm:vm-8200-disk-0": OLD_DISKS["scsi0"],
  "local-lvm:vm-8200-disk-1": OLD_DISKS["scsi1"],
  "local:8200/vm-8200-disk-0.raw": OLD_DISKS["unused0"],
};
/** What the restored VM has. */
export const RESTORED_DISKS = { "local-lvm:vm-200-disk-0": "from the archive" };

/** How a run of lease and restore ended. */
export interface Ended {
  readonly run: RunRef;
  readonly vm: Bag;
  readonly states: Map<string, Bag>;
  readonly evidence: Evidence;
}

/** Ends the provider's process at the n-th call that is no GET: from then on it asks and hears nothing. */
export interface Death {
  readonly at: number;
  /** Whether the call still reaches Proxmox. */
  readonly isSent: boolean;
}

export class BrokenVm implements AsyncDisposable {
  private constructor(
    readonly api: ApiLab,
    readonly evidenceDir: string,
    private restorePoint: RestorePoint,
    private readonly token: string,
  ) {}

  /** @param access Rights of `token`, with which runs are made; absent: everything. */
  static async make(access?: NonNullable<LabSpec["access"]>, token = TOKEN): Promise<BrokenVm> {
    const rules = access === undefined ? {} : { access, apiTokens: [TOKEN, token] };
    const api = await ApiLab.start(rules, { realBackups: true });
    await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
    mkdirSync(join(api.lab.spec.dir, DUMP), { recursive: true });
    const made = new BrokenVm(api, join(api.lab.spec.dir, "drills"), archiveIn(api, 1), token);
    await made.breakVm();
    return made;
  }

  /** Volume id of the archive that is restored. */
  get archive(): string {
    return this.restorePoint.archive;
  }

  /** From now on an older archive is chosen. */
  chooseOlder(): void {
    this.restorePoint = archiveIn(this.api, 60);
  }

  /** A consent for an hour. */
  consent(changes: Partial<Replace> = {}): Replace {
    const until = new Date(Date.now() + 3_600_000).toISOString();
    return { until, reason: "Its root disk is damaged.", asideVmId: ASIDE_VM, ...changes };
  }

  /** `homelab restore` without Pulumi, and without starting the VM. */
  async restore(
    replace: Replace | undefined,
    death?: Death,
    afterLease: () => Promise<void> = () => Promise.resolve(),
  ): Promise<Ended> {
    const provider = createProvider({ client: this.client(death) });
    const create = async (token: string, inputs: Bag): Promise<Bag> => {
      const { failures } = (await provider.check?.(urn(token), {}, inputs)) ?? {};
      if (failures?.[0] !== undefined)
        throw new Error(failures.map(({ property, reason }) => `${property} ${reason}`).join("; "));
      return (await provider.create?.(urn(token), inputs))?.outs as Bag;
    };
    const consent = replace === undefined ? {} : { replace };
    const common = { kind: "emergency", restorePoint: this.restorePoint, sourceVmId: 200, ...consent };
    const states = new Map<string, Bag>();
    this.recorded = states;
    const leased = await create(DRILL_TOKENS.lease, {
      ...{ ...common, stack: "restore", node: "pve", vmId: 200, vmName: "docker", evidenceDir: this.evidenceDir },
      ...{ rtoTargetSeconds: 600, rpoTargetSeconds: 7200, environmentNotes: [] },
    });
    states.set(DRILL_TOKENS.lease, leased);
    const run = leased["run"] as RunRef;
    await afterLease();
    const vm = await create(DRILL_TOKENS.restoredVm, {
      ...common,
      run,
      pool: "homelab-prod",
      restoreTimeoutSeconds: 20,
    });
    states.set(DRILL_TOKENS.restoredVm, vm);
    return { run, vm, states, evidence: (await writeEvidence(run.runDir)).evidence };
  }

  /** As `restore`, up to the process's death. Fails when it outlives it. */
  async restoreUntil(death: Death): Promise<void> {
    let die: () => void = () => undefined;
    const died = new Promise<"died">((resolve) => (die = () => resolve("died")));
    this.onDeath = die;
    const restored = this.restore(this.consent(), death);
    restored.catch(() => undefined);
    if ((await Promise.race([restored, died])) !== "died") throw new Error(`There is no writing call ${death.at}.`);
    // What Proxmox was asked to do goes on without the one who asked.
    for (const { upid } of this.api.lab.tasks.list()) await this.api.lab.tasks.wait(upid);
  }

  /** What `homelab restore` does first with what the engine has recorded of a process that died. */
  async clearDead(): Promise<void> {
    await this.destroy(this.recorded);
  }

  /** `pulumi destroy`: what `homelab restore` begins with where an earlier run stands. */
  async destroy(states: ReadonlyMap<string, Bag>): Promise<void> {
    const provider = createProvider({ client: this.api.client(this.token) });
    for (const [token, state] of [...states].reverse()) await provider.delete?.("id", urn(token), state);
  }

  async config(vmId: number): Promise<Record<string, unknown>> {
    return (await this.api.ok("GET", `/nodes/pve/qemu/${vmId}/config`)) as Record<string, unknown>;
  }

  /** Beginning of each disk, by volume id. */
  async disks(): Promise<Record<string, string>> {
    const images = (await this.api.lab.volumes.images()).filter(({ volid }) => !volid.includes("cloudinit"));
    return Object.fromEntries(images.map(({ volid, path }) => [volid, head(path)]));
  }

  /** Calls that are no GET, as `METHOD path`, since the API's start. */
  writes(): string[] {
    const lines = readFileSync(this.api.requestLog, "utf8").split("\n").filter(Boolean);
    const requests = lines.map((line) => JSON.parse(line) as { method: string; path: string });
    return requests.filter(({ method }) => method !== "GET").map(({ method, path }) => `${method} ${path}`);
  }

  /** Calls with `force` that met anything but an empty VM that had just been made at the same VMID: none may. */
  forcedOverMore(): string[] {
    const lines = readFileSync(this.api.requestLog, "utf8").split("\n").filter(Boolean);
    const bare = new Set<unknown>();
    return lines.flatMap((line) => {
      const { method, path, params } = JSON.parse(line) as { method: string; path: string; params: Bag };
      if (method === "POST" && path === "/nodes/pve/qemu") {
        const wasBare = bare.delete(params["vmid"]);
        const isMade =
          params["archive"] === undefined &&
          !Object.keys(params).some((key) => /^[a-z]+\d+$/.test(key) && key !== "smbios1");
        if (isMade) bare.add(params["vmid"]);
        return params["force"] !== undefined && !wasBare ? [line] : [];
      }
      if (method !== "GET" && !path.includes("/tasks/")) bare.clear();
      return [];
    });
  }

  async events(run: RunRef): Promise<string[]> {
    return (await readJournal(run.runDir)).map((event) =>
      "disk" in event ? `${event.type} ${event.disk}` : event.type,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api[Symbol.asyncDispose]();
  }

  /** Answers in place of the lab's by path: for what a lab of one node can't have. */
  readonly answers = new Map<string, unknown>();

  private recorded: ReadonlyMap<string, Bag> = new Map();
  private onDeath: () => void = () => undefined;

  private client(death: Death = { at: Infinity, isSent: false }): PveClient {
    const client = this.api.client(this.token);
    let writes = 0;
    const silence = new Promise<never>(() => undefined);
    const dying = async <T>(isWrite: boolean, call: () => Promise<T>): Promise<T> => {
      if (isWrite) writes++;
      if (writes < death.at) return call();
      if (isWrite && writes === death.at && death.isSent) await call();
      this.onDeath();
      return silence;
    };
    return new Proxy(client, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        if (!["get", "post", "put", "delete"].includes(String(name))) return value.bind(target) as unknown;
        return (...args: unknown[]) =>
          dying(name !== "get", async () => {
            const [path, schema] = args as [string, z.ZodType];
            const instead = name === "get" ? this.answers.get(path) : undefined;
            return instead === undefined ? (Reflect.apply(value, target, args) as unknown) : schema.parse(instead);
          });
      },
    });
  }

  private async breakVm(): Promise<void> {
    const { api } = this;
    const restored = await api.task("POST", "/nodes/pve/qemu", { vmid: 200, archive: this.restorePoint.archive });
    expect(restored.exitStatus).toBe("OK");
    const config = {
      scsi1: "local-lvm:0.001,backup=0",
      scsi2: "local:0.001",
      ide2: "local-lvm:cloudinit",
      cipassword: "x",
    };
    await api.ok("PUT", "/nodes/pve/qemu/200/config", { ...config, description: "Docker host", protection: 0 });
    await api.ok("PUT", "/nodes/pve/qemu/200/config", { delete: "scsi2" });
    await api.ok("PUT", "/nodes/pve/qemu/200/config", { protection: 1 });
    const present = await this.config(200);
    for (const [key, text] of Object.entries(OLD_DISKS)) {
      const volume = String(present[key]).split(",")[0] ?? "";
      writeFileSync(api.lab.volumes.pathOf(volume), text, { flag: "r+" });
    }
    await api.ok("POST", "/cluster/backup", { vmid: "200", storage: "nas", schedule: "02:00", id: "nightly" });
  }
}

function archiveIn(api: ApiLab, minutesAgo: number): RestorePoint {
  const madeAt = new Date(Math.floor(Date.now() / 1000) * 1000 - minutesAgo * 60_000);
  const file = writeGeneratedArchive(join(api.lab.spec.dir, DUMP), ARCHIVED, madeAt, "vma.zst");
  const archive = `nas:backup/${basename(file)}`;
  return { archive, archiveTime: madeAt.getTime() / 1000, archiveBytes: 1000, notes: "" };
}

function head(path: string): string {
  return readFileSync(path).subarray(0, 100).toString("utf8").replace(/\0.*$/s, "");
}
