/**
 * Drills under faults: real Pulumi, the real provider, the lab's API with its real restore engine, and archives that are
 * really restored. There is no machine: the guest is a shell (see `shell-guest.ts`).
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Faults } from "../../lab/faults/faults";
import { listRuns, readNewEvidence } from "../../cli/rehearsal/evidence";
import { type Evidence, type JournalEvent } from "../../provider/contract/evidence";
import { readJournalIfThere } from "../../provider/journal";
import { ReachableApis } from "../bad-input/reachable";
import { type Ended, Workspace } from "../bad-input/workspace";
import { type ApiLab } from "../lab/api-lab";
import { forbiddenCalls } from "../support/drill-calls";
import type { LoggedRequest } from "../support/rehearsal-lab";
import { type GeneratedGuest, writeGeneratedArchive } from "../support/vma-generator";
import { ShellGuest } from "./shell-guest";

export const DRILL_VM = 9200;
export const PROD_VM = 200;
const KIB = 1024;

/** VM 200 as it stands in archives: a disk with content throughout, so that what is cut or flipped is data. */
export const GUEST: GeneratedGuest = {
  vmId: PROD_VM,
  name: "docker",
  disks: [{ key: "scsi0", sizeBytes: 1024 * KIB, writes: [{ offset: 0, data: noise(512 * KIB) }] }],
};

/** Always the same bytes, which no compressor makes smaller. */
function noise(bytes: number): Buffer {
  const blocks = Array.from({ length: bytes / 32 }, (_, at) => createHash("sha256").update(String(at)).digest());
  return Buffer.concat(blocks);
}

/** Edits of the drill's stack file. */
type Changes = readonly (readonly [string, string])[];

/** How one `pulumi` of a drill's stack ended. */
export interface Outcome extends Ended {
  /** Undefined when the command began no run. */
  readonly evidence: Evidence | undefined;
  /** Calls that are no GET, as `METHOD /path`. */
  readonly writes: readonly string[];
}

/**
 * A drill that nothing disturbed: every phase up to the agent's answer passed. The guest runs no service, and a drill in which
 * nothing was proved of services is no pass: that alone is what is wrong with it.
 */
export function expectUndisturbed({ evidence }: Outcome): void {
  expect(evidence?.phases.slice(0, 4).map(({ phase, status }) => `${phase} ${status}`)).toEqual([
    ...["restore passed", "verify passed", "start passed", "agent passed"],
  ]);
  expect(evidence?.reasons).toEqual([expect.stringMatching(NOTHING_PROVED)]);
}

/** The only reason against a drill of the shell. */
const NOTHING_PROVED = /^containers: .* could not run: the guest has no container engine/;

/** Counts over all drills of a lab, for the test report. */
export interface Counts {
  drills: number;
  destroys: number;
  calls: number;
  /** Calls that are no GET. */
  writes: number;
  /** Comparisons of production before and after. */
  comparisons: number;
}

export class FaultLab implements AsyncDisposable {
  readonly counts: Counts = { drills: 0, destroys: 0, calls: 0, writes: 0, comparisons: 0 };

  /** Whether a drill may still stand, which the next one would refuse: that of a test that failed. */
  isStanding = false;

  private constructor(
    readonly workspace: Workspace,
    readonly apis: ReachableApis,
  ) {}

  static async start(): Promise<FaultLab> {
    const lab = new FaultLab(await Workspace.create(), await ReachableApis.start({}, { realBackups: true }));
    await lab.makeProduction();
    return lab;
  }

  get api(): ApiLab {
    return this.apis.api;
  }

  get faults(): Faults {
    return this.api.lab.faults;
  }

  get dumpDir(): string {
    return join(this.api.lab.spec.dir, "fs/mnt/pve/nas/dump");
  }

  get evidenceDir(): string {
    return join(this.workspace.project, "drills");
  }

  /** All faults off, one good archive a minute old, nothing of a drill, the fixture's stack file with short limits. */
  async reset(changes: Changes = []): Promise<void> {
    this.faults.allOff();
    if (this.isStanding) await this.pulumi("destroy", "drill");
    this.isStanding = false;
    await rm(this.dumpDir, { recursive: true, force: true });
    this.archive();
    await this.workspace.write({
      drill: [
        ["storage: local-lvm", "storage: local-lvm\n    profile: generic"],
        ["restoreSeconds: 3600", "restoreSeconds: 20"],
        ["startSeconds: 120", "startSeconds: 10"],
        ["agentSeconds: 600", "agentSeconds: 10"],
        ["checkSeconds: 600", "checkSeconds: 10"],
        ...changes,
      ],
    });
  }

  /** Puts an archive of VM 200 onto the backup storage and gives its path. */
  archive(minutesAgo = 1, guest: GeneratedGuest = GUEST, extension: "vma" | "vma.zst" = "vma.zst"): string {
    return writeGeneratedArchive(this.dumpDir, guest, new Date(Date.now() - minutesAgo * 60_000), extension);
  }

  /** `pulumi up -s drill`, whatever its outcome. Fails when it made a call that it may not make, or changed production. */
  async up(environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    this.counts.drills++;
    return this.watched("up", environment);
  }

  /** `pulumi destroy -s drill`, whatever its outcome, under the same conditions. */
  async destroy(environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    this.counts.destroys++;
    return this.watched("destroy", environment);
  }

  /** Destroys and fails unless that went well and nothing but evidence is left: VM, disks, running tasks, state. */
  async expectCleanEnd(environment: NodeJS.ProcessEnv = {}): Promise<void> {
    const { code, output } = await this.destroy(environment);
    if (code !== 0) throw new Error(`pulumi destroy ended with code ${code}:\n${output}`);
    expect(await this.remains()).toEqual([]);
    this.isStanding = false;
  }

  /** What there is of the drill's VM. */
  async remains(): Promise<string[]> {
    const { guests, volumes, tasks } = this.api.lab;
    return [
      ...(guests.exists(DRILL_VM) ? [`VM ${DRILL_VM}`] : []),
      ...(await volumes.images()).filter(({ vmId }) => vmId === DRILL_VM).map(({ volid }) => volid),
      ...tasks
        .list()
        .filter(({ status, id }) => status === "running" && id === String(DRILL_VM))
        .map(({ upid }) => upid),
    ];
  }

  /** The journal of a run. */
  async journal(runId: string): Promise<JournalEvent[]> {
    return readJournalIfThere(join(this.evidenceDir, runId));
  }

  requests(): LoggedRequest[] {
    const lines = readFileSync(this.api.requestLog, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line) as LoggedRequest);
  }

  /** Puts the counts into the test report. */
  printCounts(): void {
    const { drills, destroys, calls, writes, comparisons } = this.counts;
    process.stdout.write(
      `  ${drills} drills and ${destroys} destroys made ${calls} calls, ${writes} of them no GET and all of those on the ` +
        `allow-list; production was equal before and after ${comparisons} of ${comparisons} times\n`,
    );
  }

  /** Runs something that may act on the drill only, and compares production before and after. */
  async guarded<T>(work: () => Promise<T>): Promise<T & { readonly writes: readonly string[] }> {
    const production = await this.production();
    const before = this.requests().length;
    const result = await work();
    const made = this.requests().slice(before);
    this.counts.calls += made.length;
    const writes = made.flatMap(({ method, path }) => (method === "GET" ? [] : [`${method} ${path}`]));
    this.counts.writes += writes.length;
    expect(forbiddenCalls(made, DRILL_VM)).toEqual([]);
    expect(await this.production()).toEqual(production);
    this.counts.comparisons++;
    return { ...result, writes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.apis[Symbol.asyncDispose]();
    await this.workspace[Symbol.asyncDispose]();
  }

  /** `up` or `destroy` of a stack, unwatched. */
  async pulumi(command: "up" | "destroy", stack: string, environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
    this.isStanding = true;
    const args = [command, "-s", stack, "--yes", "--skip-preview"];
    return this.workspace.pulumi(args, { ...this.apis.environment, ...environment });
  }

  /** Name of the newest run; undefined if there is none. */
  async newestRun(): Promise<string | undefined> {
    return (await listRuns(this.evidenceDir)).sort().at(-1);
  }

  private async watched(command: "up" | "destroy", environment: NodeJS.ProcessEnv): Promise<Outcome> {
    const runs = await listRuns(this.evidenceDir);
    const ended = await this.guarded(() => this.pulumi(command, "drill", environment));
    const isNew = (await listRuns(this.evidenceDir)).some((run) => !runs.includes(run));
    const evidence = isNew ? (await readNewEvidence(this.evidenceDir, runs)).evidence : undefined;
    return { ...ended, evidence };
  }

  private async makeProduction(): Promise<void> {
    const { api } = this;
    await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
    mkdirSync(this.dumpDir, { recursive: true });
    const config = {
      name: "docker",
      memory: 512,
      agent: "enabled=1",
      scsi0: "local-lvm:1",
      net0: "virtio,bridge=vmbr0",
    };
    await api.task("POST", "/nodes/pve/qemu", { vmid: PROD_VM, ...config });
    await api.task("POST", `/nodes/pve/qemu/${PROD_VM}/status/start`);
    await api.ok("POST", "/cluster/backup", {
      vmid: String(PROD_VM),
      storage: "nas",
      schedule: "02:00",
      id: "nightly",
    });
    for (const vmId of [PROD_VM, DRILL_VM]) api.machines.agents.set(vmId, new ShellGuest());
  }

  /** Whatever a drill must leave alone: VM, disks, job, storages, network, and DNS records by not asking for them at all. */
  private async production(): Promise<unknown> {
    const { lab, machines } = this.api;
    const disks = (await lab.volumes.images()).filter(({ vmId }) => vmId === PROD_VM);
    return {
      digest: lab.guests.read(PROD_VM).digest,
      isRunning: machines.running.has(PROD_VM),
      disks: disks.map(({ volid, path }) => {
        const { size, mtimeMs, ino } = statSync(path);
        return { volid, size, mtimeMs, ino };
      }),
      jobs: lab.jobs.list(),
      storages: lab.storages.digest(),
      bridges: lab.spec.bridges,
      cloudflareRequests: this.apis.cloudflareRequests(),
    };
  }
}
