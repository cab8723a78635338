/** The lab's hypervisor: runs VMs as QEMU processes in the network namespace of this process. */
import { existsSync, mkdirSync } from "node:fs";
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";

import type { GuestAgent, MachineRunner, MachineStatus, Qmp, TaskContext, VmConfig, VolumeStore } from "../types";
import { type Accelerator, chooseAccelerator } from "./accelerator";
import { agentIsAlive } from "./agent-commands";
import { assertBridge, plugTap } from "./bridges";
import type { NodeDns } from "./cloud-init";
import { writeCloudInitDrive } from "./cloud-init-drive";
import { type MachineFiles, agentEnabled, commandLine } from "./command-line";
import { driveId } from "./drives";
import { MachineProcess, StartFailed, killLeftovers } from "./machine-process";
import { startTpm } from "./tpm-emulator";

/** How long QEMU may take to end after `quit` or SIGTERM. PVE waits as long. */
const QUIT_TIMEOUT_MS = 10_000;

export interface MachineRunnerArgs {
  /** The lab's folder; the machines' sockets, process ids and consoles lie in `run/` of it. */
  readonly dir: string;
  /** Cores of the node; machines with more start with a warning. */
  readonly nodeCores: number;
  readonly volumes: VolumeStore;
  /** Default: by `HOMELAB_ACCEL`, see `chooseAccelerator`. */
  readonly accel?: Accelerator;
  /** The node's resolver, which guests without their own get. Default: none. */
  readonly dns?: NodeDns;
}

interface Machine {
  readonly process: MachineProcess;
  readonly startedAt: number;
}

/** A runner that ends all its machines at once when it is disposed of. */
export type DisposableMachineRunner = MachineRunner & AsyncDisposable;

/**
 * Makes the runner and its folder.
 *
 * Machines live as long as this process: they are killed when it ends, so a lab that comes back starts like a node after a power
 * cut, with all its state on disk and nothing running.
 */
export function createMachineRunner(args: MachineRunnerArgs): DisposableMachineRunner {
  return new QemuRunner(args);
}

class QemuRunner implements DisposableMachineRunner {
  private readonly machines = new Map<number, Machine>();
  private readonly starting = new Set<number>();
  private readonly runFolder: string;
  private accelerator: Promise<Accelerator> | undefined;

  constructor(private readonly args: MachineRunnerArgs) {
    this.runFolder = join(args.dir, "run");
    mkdirSync(this.runFolder, { recursive: true });
    killLeftovers(this.runFolder);
  }

  async start(vmId: number, config: VmConfig, context: TaskContext, options: { paused?: boolean } = {}): Promise<void> {
    if (this.machines.has(vmId) || this.starting.has(vmId)) throw new Error(`VM ${vmId} already running`);
    this.starting.add(vmId);
    try {
      await this.launch(vmId, config, context, options.paused === true || config.freeze === "1");
    } finally {
      this.starting.delete(vmId);
    }
  }

  async stop(vmId: number): Promise<void> {
    const machine = this.machines.get(vmId);
    if (!machine) return;
    await machine.process.qmp.execute("quit").catch(() => undefined); // it closes the connection on its way out
    if (!(await machine.process.endsWithin(QUIT_TIMEOUT_MS))) await machine.process.kill();
  }

  async shutdown(
    vmId: number,
    config: VmConfig,
    options: { timeoutSeconds: number; forceStop: boolean },
    context: TaskContext,
  ): Promise<void> {
    const machine = this.machines.get(vmId);
    if (!machine) return;
    const { process } = machine;
    let problem = "VM quit/powerdown failed - got timeout";
    let asked = true;
    try {
      if (agentEnabled(config) && process.agent && (await agentIsAlive(process.agent))) {
        await process.agent.request("guest-shutdown", { mode: "powerdown" });
      } else {
        await process.qmp.execute("system_powerdown");
      }
    } catch (error) {
      asked = false;
      context.log(error instanceof Error ? error.message : String(error));
      problem = "VM quit/powerdown failed";
    }
    if (asked && (await this.endsBefore(process, options.timeoutSeconds * 1000, context.signal))) return;
    if (!asked && (await process.endsWithin(0))) return;
    if (context.signal.aborted) throw new Error("received interrupt");
    if (!options.forceStop) throw new Error(problem);
    context.log("VM still running - terminating now with SIGTERM");
    globalThis.process.kill(process.pid, "SIGTERM");
    if (await process.endsWithin(QUIT_TIMEOUT_MS)) return;
    context.log("VM still running - terminating now with SIGKILL");
    await process.kill();
  }

  status(vmId: number): MachineStatus {
    const machine = this.machines.get(vmId);
    if (!machine) return { status: "stopped", uptime: 0, qmpStatus: "stopped" };
    return {
      status: "running",
      pid: machine.process.pid,
      uptime: Math.floor((performance.now() - machine.startedAt) / 1000),
      qmpStatus: machine.process.runState,
    };
  }

  qmp(vmId: number): Qmp | undefined {
    return this.machines.get(vmId)?.process.qmp;
  }

  agent(vmId: number): GuestAgent | undefined {
    return this.machines.get(vmId)?.process.agent;
  }

  driveId(diskKey: string): string {
    return driveId(diskKey);
  }

  async consoleTail(vmId: number, lines: number): Promise<string[]> {
    const text = await readFile(this.files(vmId).consoleLog, "utf8").catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
      throw error;
    });
    return text
      .trimEnd()
      .split(/\r?\n/)
      .filter((line) => line !== "")
      .slice(-lines);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.machines.values()].map(({ process }) => process.kill()));
  }

  private async launch(vmId: number, config: VmConfig, context: TaskContext, paused: boolean): Promise<void> {
    const { volumes, nodeCores, accel, dns = { servers: [], search: [] } } = this.args;
    this.accelerator ??= accel ? Promise.resolve(accel) : chooseAccelerator();
    const accelerator = await this.accelerator;
    const files = this.files(vmId);
    const pathOf = (volumeId: string): string => volumes.pathOf(volumeId);
    const hasMedium = (volumeId: string): boolean => mediumExists(volumes, volumeId);
    const command = commandLine({ vmId, config, files, accelerator, nodeCores, pathOf, hasMedium });
    for (const note of command.notes) context.log(note);
    for (const { bridge } of command.cards) await assertBridge(bridge);
    if (await writeCloudInitDrive(vmId, config, volumes, dns)) context.log("generating cloud-init ISO");
    const { temporaryVariables, tpm } = command.firmware;
    if (temporaryVariables !== undefined) await copyFile(temporaryVariables, files.efiVariables);
    if (tpm !== undefined) await startTpm(tpm, files.tpmSocket);
    const machine = await this.spawn(vmId, command, files, context);
    try {
      for (const { key, tap, bridge, vlanId, linkDown } of command.cards) {
        await plugTap(tap, bridge, vlanId);
        if (linkDown) await machine.qmp.execute("set_link", { name: key, up: false });
      }
      if (!paused) await machine.qmp.execute("cont");
      await machine.refresh();
    } catch (error) {
      await machine.kill();
      throw error;
    }
  }

  private async spawn(
    vmId: number,
    command: ReturnType<typeof commandLine>,
    files: MachineFiles,
    context: TaskContext,
  ): Promise<MachineProcess> {
    try {
      const logFile = join(this.runFolder, `${vmId}.qemu.log`);
      const process = await MachineProcess.start(vmId, command, files, logFile, () => this.machines.delete(vmId));
      if (process.alive) this.machines.set(vmId, { process, startedAt: performance.now() });
      return process;
    } catch (error) {
      if (error instanceof StartFailed && error.output !== "")
        error.output.split("\n").forEach((line) => context.log(line));
      throw error;
    }
  }

  /** Waits for the end, the time limit or a stop of the task, whatever comes first. True if the machine ended. */
  private async endsBefore(process: MachineProcess, milliseconds: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    let abort: (() => void) | undefined;
    const aborted = new Promise<false>((resolve) => {
      abort = () => resolve(false);
      signal.addEventListener("abort", abort, { once: true });
    });
    try {
      return await Promise.race([process.endsWithin(milliseconds), aborted]);
    } finally {
      if (abort) signal.removeEventListener("abort", abort);
    }
  }

  private files(vmId: number): MachineFiles {
    const path = (suffix: string): string => join(this.runFolder, `${vmId}.${suffix}`);
    return {
      qmpSocket: path("qmp"),
      agentSocket: path("qga"),
      pidFile: path("pid"),
      consoleLog: path("console.log"),
      efiVariables: path("efivars"),
      tpmSocket: path("tpm"),
    };
  }
}

/** False also for a volume of a storage that the lab doesn't have. */
function mediumExists(volumes: VolumeStore, volumeId: string): boolean {
  try {
    return existsSync(volumes.pathOf(volumeId));
  } catch {
    return false;
  }
}
