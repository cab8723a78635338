/** Machines without QEMU, for tests of the API around them. What needs a real guest is tested with a real guest. */
import { type GuestAgent, type MachineRunner, type MachineStatus, type Qmp, type VmConfig } from "../../lab/types";

export class MemoryMachines implements MachineRunner {
  readonly running = new Map<number, VmConfig>();
  /** Agents by VM; a VM without one has no agent that answers. */
  readonly agents = new Map<number, GuestAgent>();
  /** QMP commands, in order. */
  readonly qmpCommands: { vmId: number; command: string; args: unknown }[] = [];

  async start(vmId: number, config: VmConfig): Promise<void> {
    this.running.set(vmId, config);
  }

  async stop(vmId: number): Promise<void> {
    this.running.delete(vmId);
  }

  async shutdown(vmId: number): Promise<void> {
    this.running.delete(vmId);
  }

  status(vmId: number): MachineStatus {
    return this.running.has(vmId)
      ? { status: "running", pid: 4242, uptime: 7, qmpStatus: "running" }
      : { status: "stopped", uptime: 0, qmpStatus: "stopped" };
  }

  qmp(vmId: number): Qmp | undefined {
    if (!this.running.has(vmId)) return undefined;
    return {
      execute: async <T>(command: string, args?: Record<string, unknown>): Promise<T> => {
        this.qmpCommands.push({ vmId, command, args });
        return {} as T;
      },
      waitForEvent: () => Promise.reject(new Error("no events here")),
    };
  }

  agent(vmId: number): GuestAgent | undefined {
    return this.running.has(vmId) ? this.agents.get(vmId) : undefined;
  }

  driveId(diskKey: string): string {
    return `drive-${diskKey}`;
  }

  async consoleTail(): Promise<string[]> {
    return [];
  }
}
