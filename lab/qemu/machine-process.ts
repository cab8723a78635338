/** The QEMU process of one running machine: start, connections, end. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { AgentClient } from "./agent";
import type { CommandLine, MachineFiles } from "./command-line";
import { MachineGone, QmpClient } from "./qmp";
import { assertSocketPath } from "./unix-socket";

/** QEMU opens its socket within a second; a busy host may take long to start a process. */
const START_TIMEOUT_MS = 60_000;

/** QEMU ended before the machine ran. The text is PVE's; QEMU's own words are in `output`. */
export class StartFailed extends Error {
  override readonly name = "StartFailed";

  constructor(
    cause: string,
    readonly output: string,
  ) {
    super(`start failed: ${cause}`);
  }
}

/** A started QEMU, stopped before its first instruction until it is told to `cont`. */
export class MachineProcess {
  /** `prelaunch`, `running`, `paused`, … as `query-status` has it. */
  runState = "prelaunch";
  /** False once the process has ended. */
  alive = true;

  private constructor(
    readonly pid: number,
    /** Resolves when the process has ended, with its exit status or signal. */
    readonly ended: Promise<string>,
    readonly qmp: QmpClient,
    readonly agent: AgentClient | undefined,
  ) {}

  /**
   * Starts QEMU and connects to it. QEMU gets SIGKILL when this process ends, however that comes about: a node without power
   * has no running machines either.
   */
  static async start(
    vmId: number,
    command: CommandLine,
    files: MachineFiles,
    logFile: string,
    onEnd: () => void,
  ): Promise<MachineProcess> {
    for (const socket of [files.qmpSocket, files.agentSocket]) {
      assertSocketPath(socket);
      await rm(socket, { force: true });
    }
    const log = openSync(logFile, "w");
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", "qemu-system-x86_64", ...command.args], {
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const life: { alive: boolean } = { alive: true };
    const ended = new Promise<string>((resolve) => {
      const end = (how: string): void => {
        life.alive = false;
        for (const file of [files.qmpSocket, files.agentSocket, files.pidFile]) rmSync(file, { force: true });
        resolve(how);
        onEnd();
      };
      child.once("error", (error) => end(`${error.message}. Install the packages util-linux and qemu-system-x86`));
      child.once("exit", (code, signal) =>
        end(code === null ? `QEMU ended by ${signal ?? "?"}` : `QEMU exited with code ${code}`),
      );
    });
    try {
      const qmp = await QmpClient.connect(vmId, files.qmpSocket, START_TIMEOUT_MS, () => life.alive);
      const agent = command.hasAgent
        ? await AgentClient.connect(vmId, files.agentSocket, START_TIMEOUT_MS, () => isPortOpen(qmp))
        : undefined;
      const process = new MachineProcess(child.pid ?? 0, ended, qmp, agent);
      qmp.onEvent((name) => {
        if (/^(?:STOP|RESUME|SUSPEND|WAKEUP|SHUTDOWN|GUEST_PANICKED)$/.test(name)) void process.refresh();
      });
      void ended.then(() => process.disconnect());
      if (!life.alive) throw new MachineGone(vmId, "start");
      return process;
    } catch (cause) {
      child.kill("SIGKILL");
      const how = await ended;
      const output = (await readFile(logFile, "utf8")).trim();
      const error = new StartFailed(how, output);
      error.cause = cause;
      throw error;
    }
  }

  /** Kills the process and waits for its end. */
  async kill(): Promise<void> {
    try {
      process.kill(this.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    await this.ended;
  }

  /** Whether the process ended within the time. */
  async endsWithin(milliseconds: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), milliseconds);
    });
    const inTime = await Promise.race([this.ended.then(() => true as const), timeout]);
    clearTimeout(timer);
    return inTime;
  }

  /** Reads the run state anew; a machine that is gone keeps its last one. */
  async refresh(): Promise<void> {
    try {
      this.runState = (await this.qmp.execute<{ status: string }>("query-status")).status;
    } catch {
      // gone: `ended` tells
    }
  }

  private disconnect(): void {
    this.alive = false;
    this.qmp.close();
    this.agent?.close();
  }
}

/** Whether a process in the guest holds the guest agent's port open. */
async function isPortOpen(qmp: QmpClient): Promise<boolean> {
  const devices = await qmp.execute<{ label: string; "frontend-open": boolean }[]>("query-chardev");
  return devices.some(({ label, "frontend-open": open }) => label === "qga0" && open);
}

/**
 * Kills machines that a crashed lab left in this folder. They die with it, so there are none unless the kernel's signal at the
 * parent's death was lost (a debugger, a copied process); two machines on one disk would destroy it.
 */
export function killLeftovers(runFolder: string): void {
  for (const name of readdirSync(runFolder).filter((file) => file.endsWith(".pid"))) {
    const file = join(runFolder, name);
    const pid = Number(readFileSync(file, "utf8").trim());
    if (pid > 1 && commandLineOf(pid).includes(file)) process.kill(pid, "SIGKILL");
    rmSync(file, { force: true });
  }
}

function commandLineOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // no such process
  }
}
