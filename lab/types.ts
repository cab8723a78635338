/** The seams between the lab's parts: volumes, tasks, machines. */

/** Text lines of a task's log. `signal` aborts when the task is stopped (`DELETE …/tasks/{upid}`). */
export interface TaskContext {
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/** A VM's configuration as PVE keeps it: `key: value` of the current section, without snapshots. */
export type VmConfig = Record<string, string>;

/** Disks and files of the emulated storages. Volume ids are PVE's (`local-lvm:vm-200-disk-0`, `nas:backup/…`). */
export interface VolumeStore {
  /** Makes a sparse raw disk image with the next free `disk-N` name. Size in bytes. Throws when the storage is full, offline or has no `images` content. */
  allocateDisk(storage: string, vmId: number, sizeBytes: number): Promise<string>;
  /** Path and id of the VM's cloud-init volume; made if missing (4 MiB). */
  allocateCloudInit(storage: string, vmId: number): Promise<string>;
  /** Absolute path of the file behind a volume. Throws PVE's error for a missing storage; the file itself may be missing. */
  pathOf(volumeId: string): string;
  sizeOf(volumeId: string): Promise<number>;
  /** Removes a volume; a missing one is no error. */
  free(volumeId: string): Promise<void>;
}

/** QEMU Machine Protocol connection of a running VM. */
export interface Qmp {
  /** Sends one command. Rejects with QMP's error text, or when the machine ends. */
  execute<T = unknown>(command: string, args?: Record<string, unknown>): Promise<T>;
  /** Resolves with the next event of this name that satisfies the filter. Must be armed before the command that causes it. */
  waitForEvent(
    name: string,
    filter: (data: Record<string, unknown>) => boolean,
    timeoutMs: number,
  ): Promise<Record<string, unknown>>;
}

/** QEMU guest agent of a running VM (virtio-serial). Commands are serialised. */
export interface GuestAgent {
  /** Rejects with an `AgentTimeout` after `timeoutMs` without an answer (default 3 s for ping, 30 s otherwise). */
  execute<T = unknown>(command: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<T>;
}

export interface MachineStatus {
  status: "running" | "stopped";
  /** Only while running. */
  pid?: number;
  /** Seconds since the start; 0 when stopped. */
  uptime: number;
  qmpStatus: string;
}

/** Runs VMs as QEMU processes in the lab's network namespace. Errors carry PVE's texts. */
export interface MachineRunner {
  /** Regenerates the cloud-init drive, starts QEMU and returns once it runs. `paused`: started stopped (`-S`), for backups of stopped VMs. */
  start(vmId: number, config: VmConfig, context: TaskContext, options?: { paused?: boolean }): Promise<void>;
  /** Ends QEMU at once; a stopped VM is no error. */
  stop(vmId: number): Promise<void>;
  /** Asks the guest (agent if configured and alive, else ACPI) and waits. */
  shutdown(
    vmId: number,
    config: VmConfig,
    options: { timeoutSeconds: number; forceStop: boolean },
    context: TaskContext,
  ): Promise<void>;
  status(vmId: number): MachineStatus;
  /** Undefined when the VM is stopped. */
  qmp(vmId: number): Qmp | undefined;
  agent(vmId: number): GuestAgent | undefined;
  /** The QMP block node / drive id of a disk key (`scsi0` is `drive-scsi0`). */
  driveId(diskKey: string): string;
  /** Last lines of the serial console. */
  consoleTail(vmId: number, lines: number): Promise<string[]>;
}
