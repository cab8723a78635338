/** Stopping, pausing and continuing a running guest around its backup. Source: pve-manager `exec_backup_task`. */
import { type MachineRunner, type Qmp, type TaskContext, type VmConfig } from "../types";
import { cancelCopies } from "./disk-copy";
import { type VzdumpMode } from "./types";
import { type VzdumpLog } from "./vzdump-log";

/** How a guest was found, and what the backup has to undo. A guest that was stopped stays as it is. */
export class GuestPower {
  readonly running: boolean;
  /** Paused by its operator: neither frozen nor continued. */
  readonly paused: boolean;
  /** Since when the backup keeps the guest from running. */
  private stoppedSince: Date | undefined;

  constructor(
    private readonly machines: MachineRunner,
    private readonly vmId: number,
    private readonly config: VmConfig,
    private readonly log: VzdumpLog,
    private readonly now: () => Date,
    private readonly context: TaskContext,
  ) {
    const status = machines.status(vmId);
    this.running = status.status === "running";
    this.paused = this.running && status.qmpStatus === "paused";
  }

  /** The guest's QMP connection. Throws when it does not run (any more). */
  qmp(): Qmp {
    const qmp = this.machines.qmp(this.vmId);
    if (qmp === undefined) throw new Error(`VM ${this.vmId} not running`);
    return qmp;
  }

  private secondsStopped(since: Date): number {
    return Math.round((this.now().getTime() - since.getTime()) / 1000);
  }

  /** Brings a running guest into the state in which its disks are copied. Throws when it does not shut down in time. */
  async prepare(mode: VzdumpMode, stopWaitMinutes: number): Promise<void> {
    if (!this.running) return;
    if (await cancelCopies(this.qmp())) this.log.warn("left-over backup job still running inside QEMU - canceling now");
    switch (mode) {
      case "snapshot":
        return;
      case "suspend":
        this.log.info("suspending guest");
        this.stoppedSince = this.now();
        if (!this.paused) await this.qmp().execute("stop");
        return;
      case "stop":
        this.log.info("stopping virtual guest");
        this.stoppedSince = this.now();
        await this.machines.shutdown(
          this.vmId,
          this.config,
          { timeoutSeconds: stopWaitMinutes * 60, forceStop: false },
          this.context,
        );
        this.log.info("starting kvm to execute backup task");
        await this.machines.start(this.vmId, this.config, this.context, { paused: true });
        return;
      default:
        mode satisfies never;
    }
  }

  /** Lets the guest run again, once the copies have started. */
  async resume(): Promise<void> {
    if (this.paused) return;
    const after = this.stoppedSince === undefined ? "" : ` after ${this.secondsStopped(this.stoppedSince)} seconds`;
    this.log.info(`resuming VM again${after}`);
    await this.qmp().execute("cont");
    this.stoppedSince = undefined;
  }

  /** After a failure before `resume`: a guest that the backup stopped or paused runs again. Logs instead of throwing. */
  async bringBack(): Promise<void> {
    if (this.stoppedSince === undefined || this.paused) return;
    try {
      if (this.machines.status(this.vmId).status === "stopped") {
        this.log.info("restarting vm");
        await this.machines.start(this.vmId, this.config, this.context);
      } else {
        this.log.info("resume vm");
        await this.qmp().execute("cont");
      }
      const seconds = this.secondsStopped(this.stoppedSince);
      this.log.info(`guest is online again after ${seconds < 1 ? "<1" : seconds} seconds`);
      this.stoppedSince = undefined;
    } catch (error) {
      this.log.warn(error instanceof Error ? error.message : String(error));
    }
  }
}
