/**
 * A homelab in which commands are killed: the real `homelab`, Pulumi, plugins and policies, the lab's API with its real restore
 * engine, and archives that are really restored. There is no machine: the guest is a shell of this computer in which `docker`
 * is a script that always tells of one running container. So a run can pass, and what this does not prove is that a real guest's
 * checks survive a crash; they only read, and the next run makes all of them anew.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { nodeCommand } from "../../cli/lab/node-command";
import type { Lab } from "../../lab/context";
import { ReachableApis } from "../bad-input/reachable";
import { Workspace } from "../bad-input/workspace";
import { PROGRAMS, ShellGuest } from "../faults/shell-guest";
import type { LoggedRequest } from "../support/rehearsal-lab";
import { writeGeneratedArchive } from "../support/vma-generator";
import { DRILL_VM, GUEST, NEIGHBOUR_VM, PROD_VM, production } from "./homelab-state";
import type { KillPoint, TimedMoment } from "./kill-points";
import { killTree, TREE_VARIABLE, treeOf } from "./process-tree";
import { Timeline } from "./timeline";

/** Stacks whose command is killed. */
export type Stack = "drill" | "restore";

/** How a command ended. */
export interface Ended {
  /** Null: it was killed. */
  readonly code: number | null;
  readonly output: string;
  readonly moments: readonly TimedMoment[];
  /** Whether the moment came at which it was to be killed. */
  readonly wasKilled: boolean;
}

const RESTORE = `config:
  homelab:kind: restore
  homelab:restore:
    profile: generic
  homelab:targets:
    rtoMinutes: 240
    rpoMinutes: 1500
  homelab:timeouts:
    restoreSeconds: 60
    startSeconds: 10
    agentSeconds: 20
    checkSeconds: 20
    canarySkewSeconds: 5
`;

const DRILL_CHANGES = [
  ["storage: local-lvm", "storage: local-lvm\n    profile: generic"],
  ["restoreSeconds: 3600", "restoreSeconds: 60"],
  ["startSeconds: 120", "startSeconds: 10"],
  ["agentSeconds: 600", "agentSeconds: 20"],
  ["checkSeconds: 600", "checkSeconds: 20"],
] as const;

/** How long a restore lasts at least, so that a command can be killed while it runs. */
const RESTORE_MS = 700;
/** A command that lasts longer hangs. */
const LIMIT_MS = 180_000;

export class CrashLab implements AsyncDisposable {
  private constructor(
    readonly workspace: Workspace,
    readonly apis: ReachableApis,
  ) {}

  static async start(): Promise<CrashLab> {
    const lab = new CrashLab(await Workspace.create(), await ReachableApis.start({}, { realBackups: true }));
    await lab.prepare();
    return lab;
  }

  get lab(): Lab {
    return this.apis.api.lab;
  }

  get evidenceDir(): string {
    return join(this.workspace.project, "drills");
  }

  get stateDir(): string {
    return join(this.workspace.dir, "state");
  }

  get dumpDir(): string {
    return join(this.lab.spec.dir, "fs/mnt/pve/nas/dump");
  }

  /** As before a first run of this command: empty stacks, no evidence, VM 200 up (for a drill) or lost. */
  async reset(stack: Stack): Promise<void> {
    const { lab } = this;
    lab.faults.allOff();
    lab.faults.observer = undefined;
    await lab.tasks.stopAll();
    for (const vmId of [PROD_VM, DRILL_VM]) {
      await lab.machines.stop(vmId);
      lab.guests.remove(vmId);
    }
    for (const { vmId, volid } of await lab.volumes.images()) {
      if (vmId !== NEIGHBOUR_VM) await lab.volumes.free(volid);
    }
    for (const dir of [this.evidenceDir, this.stateDir, this.dumpDir]) await rm(dir, { recursive: true, force: true });
    await mkdir(this.evidenceDir);
    await cp(`${this.stateDir}.empty`, this.stateDir, { recursive: true });
    writeGeneratedArchive(this.dumpDir, GUEST, new Date(Date.now() - 60_000));
    if (stack === "drill") await this.makeVm(PROD_VM, "docker");
    truncateSync(this.apis.api.requestLog);
  }

  /** Runs `homelab drill` or `homelab restore` to its end, or up to where it is killed with everything that it has started. */
  async homelab(stack: Stack, target?: KillPoint): Promise<Ended> {
    const outage = new Date(Date.now() - 20_000).toISOString().replace(/\.\d+/, "");
    const args = stack === "restore" ? ["restore", "--outage", outage] : ["drill"];
    return this.run(stack, nodeCommand("cli/main.ts", args), target);
  }

  /** The same with any command on the stack. */
  async run(stack: Stack, [program = "", ...args]: readonly string[], target?: KillPoint): Promise<Ended> {
    const { faults } = this.lab;
    const tree = randomUUID();
    using timeline = new Timeline({
      stack,
      stateFile: this.stateFile(stack),
      evidenceDir: this.evidenceDir,
      target,
      act: () => void killTree(tree),
    });
    let release: NodeJS.Timeout | undefined;
    // The task of a killed command goes on until somebody ends it: switching anew would let it go.
    if (!faults.list().some(({ name }) => name === "restore-stalls")) faults.on("restore-stalls", { times: 1 });
    faults.observer = {
      before: (method, path) => timeline.before(method, path),
      after: (method, path) => {
        const goesOn = timeline.after(method, path);
        if (`${method} ${path}` === "POST /nodes/pve/qemu" && goesOn) {
          release = setTimeout(() => {
            if (!timeline.hasActed) faults.off("restore-stalls");
          }, RESTORE_MS);
        }
        return goesOn;
      },
    };
    try {
      const child = spawn(program, args, {
        cwd: this.workspace.project,
        env: { ...this.environment, [TREE_VARIABLE]: tree },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const limit = setTimeout(() => killTree(tree), LIMIT_MS);
      const lines: string[] = [];
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          lines.push(line);
          timeline.line(line);
        });
      }
      const code = await new Promise<number | null>((done, reject) => {
        child.once("error", reject);
        child.once("close", done);
      });
      clearTimeout(limit);
      return { code, output: lines.join("\n"), moments: timeline.moments, wasKilled: timeline.hasActed };
    } finally {
      clearTimeout(release);
      faults.observer = undefined;
      killTree(tree);
      if (treeOf(tree).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  get environment(): NodeJS.ProcessEnv {
    const { workspace, apis } = this;
    return { ...workspace.environment, ...apis.environment, TMPDIR: join(workspace.dir, "tmp"), NO_COLOR: "1" };
  }

  requests(): LoggedRequest[] {
    const lines = readFileSync(this.apis.api.requestLog, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line) as LoggedRequest);
  }

  /** Everything that neither command may change. */
  async untouchable(stack: Stack): Promise<unknown> {
    const archives = readdirSync(this.dumpDir).map((name) => {
      const { size, mtimeMs, ino } = statSync(join(this.dumpDir, name));
      return { name, size, mtimeMs, ino };
    });
    return {
      ...(await production(this.apis, stack === "drill" ? [PROD_VM, NEIGHBOUR_VM] : [NEIGHBOUR_VM])),
      archives,
    };
  }

  stateFile(stack: Stack): string {
    return join(this.stateDir, ".pulumi/stacks/homelab", `${stack}.json`);
  }

  /** Files of Pulumi's locks. */
  locks(): string[] {
    const dir = join(this.stateDir, ".pulumi/locks");
    const entries = readdirSync(dir, { withFileTypes: true, recursive: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }

  async state(stack: Stack): Promise<string> {
    return readFile(this.stateFile(stack), "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.apis[Symbol.asyncDispose]();
    await this.workspace[Symbol.asyncDispose]();
  }

  private async prepare(): Promise<void> {
    const { workspace, apis } = this;
    await mkdir(join(workspace.dir, "tmp"));
    await workspace.write({ drill: DRILL_CHANGES });
    await writeFile(join(workspace.project, "Pulumi.restore.yaml"), RESTORE);
    const made = await workspace.pulumi(["stack", "init", "restore"]);
    if (made.code !== 0) throw new Error(made.output);
    mkdirSync(join(this.stateDir, ".pulumi/locks"), { recursive: true });
    await cp(this.stateDir, `${this.stateDir}.empty`, { recursive: true });
    const { api } = apis;
    await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
    mkdirSync(this.dumpDir, { recursive: true });
    const job = { vmid: String(PROD_VM), storage: "nas", schedule: "02:00", id: "nightly" };
    await api.ok("POST", "/cluster/backup", job);
    await this.makeVm(NEIGHBOUR_VM, "neighbour");
    const bin = join(workspace.dir, "guest-bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "docker"), dockerScript(new Date()), { mode: 0o755 });
    for (const vmId of [PROD_VM, DRILL_VM]) api.machines.agents.set(vmId, new ShellGuest([bin, ...PROGRAMS]));
  }

  private async makeVm(vmId: number, name: string): Promise<void> {
    const { api } = this.apis;
    const devices = { scsi0: "local-lvm:1", net0: "virtio,bridge=vmbr0" };
    await api.task("POST", "/nodes/pve/qemu", { vmid: vmId, name, memory: 512, agent: "enabled=1", ...devices });
    await api.task("POST", `/nodes/pve/qemu/${vmId}/status/start`);
  }
}

/** Docker's answers about a container that ran at backup time and runs again since the boot. */
function dockerScript(startedAt: Date): string {
  const started = startedAt.toISOString();
  const atBackup = `container\\t/web\\trunning\\t\\t${started}\\t${started}\\t2000-01-01T00:00:00Z\\t0\\tunless-stopped\\t""\\n`;
  return [
    "#!/bin/sh",
    'case "$*" in',
    "--version) echo 'Docker version 20.10.24' ;;",
    "ps*) echo 0123456789ab ;;",
    `*--format*container*RestartPolicy*) printf '${atBackup}' ;;`,
    `*--format*RestartCount*) printf '/web\\trunning\\t\\t0\\t0\\t${started}\\n' ;;`,
    '*) echo "unknown: $*" >&2; exit 1 ;;',
    "esac",
    "",
  ].join("\n");
}
