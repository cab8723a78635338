/** What the backup engine needs from the rest of the lab, and what it is asked to do. */
import { type MachineRunner, type TaskContext, type VmConfig, type VolumeStore } from "../types";

/** Retention as PVE's `prune-backups`: how many of each period are kept. All zero or absent keeps everything. */
export interface Retention {
  readonly keepAll?: boolean;
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
}

/** The guests' configuration files, which the API server owns. */
export interface GuestStore {
  /** Raw text of `<vmid>.conf`, with snapshot sections; undefined when there is no such guest. */
  readConfig(vmId: number): Promise<string | undefined>;
  /** Writes `lock: backup`. Throws PVE's `VM is locked (…)` when another lock is held. */
  lock(vmId: number): Promise<void>;
  /** Removes `lock: backup`; a missing lock or guest is no error. */
  unlock(vmId: number): Promise<void>;
}

export interface BackupEngineArgs {
  readonly volumes: VolumeStore;
  readonly machines: MachineRunner;
  readonly guests: GuestStore;
  /** Folder for the temporary disk copies of running guests; made when missing, emptied after each guest. */
  readonly tmpDir: string;
  /** Node name, for `{{node}}` in notes. */
  readonly node: string;
  /** Cluster name, for `{{cluster}}` in notes; a single node has none. */
  readonly cluster?: string;
  /** The lab's clock. Default: the system's. */
  readonly now?: () => Date;
}

export type VzdumpMode = "snapshot" | "suspend" | "stop";
/** PVE's values: `0` none, `1` lzo. */
export type VzdumpCompression = "0" | "1" | "gzip" | "lzo" | "zstd";

/** One `vzdump` task: parameters are checked, permissions too. */
export interface VzdumpRequest {
  readonly vmIds: readonly number[];
  /** What PVE logs as `starting new backup job: …`, for example `vzdump 200 --storage nas --mode snapshot`. */
  readonly commandLine: string;
  readonly storage: string;
  /** Real folder of the archives (`…/dump`); made when missing. */
  readonly dumpDir: string;
  /** The same folder as PVE would name it in its log. Default: `dumpDir`. */
  readonly dumpDirLabel?: string;
  readonly mode: VzdumpMode;
  readonly compress: VzdumpCompression;
  /** Threads of zstd; 0 is half of the processors. Default 1. */
  readonly zstdThreads?: number;
  /** The job's own retention; wins over the storage's. */
  readonly pruneBackups?: Retention;
  /** The storage's retention, used without one of the job. Neither: everything is kept. */
  readonly storagePruneBackups?: Retention;
  /** False: old archives stay, and a full retention refuses the backup. Default true. */
  readonly remove?: boolean;
  readonly protected?: boolean;
  readonly notesTemplate?: string;
  /** KiB/s read from the disks; 0 or absent is unlimited. */
  readonly bandwidthLimitKiB?: number;
  /** Minutes to wait for the guest's shutdown in mode stop. Default 10. */
  readonly stopWaitMinutes?: number;
  /** Minutes to wait for another running backup. Default 180. */
  readonly lockWaitMinutes?: number;
  /** Space left on the storage in bytes; an archive that grows beyond it fails as on a full disk. Default: unlimited. */
  readonly availableBytes?: number;
}

/** One `qmrestore` task. The target's configuration exists with `lock: create`, and every synchronous check has passed. */
export interface RestoreRequest {
  readonly vmId: number;
  /** Real path of the archive. */
  readonly archivePath: string;
  /** The path as PVE would name it in its log. Default: `archivePath`. */
  readonly archiveLabel?: string;
  /** One target for all disks. Default: each disk's storage as the archive says, else `local`. */
  readonly storage?: string;
  readonly unique?: boolean;
  /** Configuration keys that replace the archive's; disk keys are refused before. */
  readonly overrides?: VmConfig;
  /** Only archives of a Proxmox Backup Server can; fails the task with PVE's text. */
  readonly liveRestore?: boolean;
  /** KiB/s read from the archive; 0 or absent is unlimited. */
  readonly bandwidthLimitKiB?: number;
  /** With `force`: the configuration that is overwritten. Its disks with the same key are freed before data is read. */
  readonly previous?: VmConfig;
  /** Throws PVE's `Content type 'images' is not available on storage '…'` or its missing-storage text. */
  checkStorage(storage: string): void | Promise<void>;
  /** Writes the restored configuration (without a lock) after all data is there; with `previous`, before that a locked husk. */
  writeConfig(config: VmConfig): Promise<void>;
  /** After a failure: removes `lock: create` from the husk, which stays. */
  removeLock(): Promise<void>;
}

export type PruneMark = "keep" | "remove" | "protected" | "renamed";

/** An archive that retention looks at. */
export interface PruneCandidate {
  readonly volid: string;
  /** Seconds since the epoch. */
  readonly ctime: number;
  /** Undefined: not one of PVE's standard names, hence never removed. */
  readonly vmid?: number;
  readonly type: "qemu" | "lxc" | "unknown";
  readonly protected: boolean;
}

export interface PruneEntry {
  readonly volid: string;
  readonly ctime: number;
  readonly vmid?: number;
  readonly type: "qemu" | "lxc" | "unknown";
  readonly mark: PruneMark;
}

/** Backup, restore and retention of guests, with PVE's behaviour and log lines. */
export interface BackupEngine {
  /** Backs the guests up one after another. Throws `job errors` when one failed, after all were tried. */
  vzdump(request: VzdumpRequest, context: TaskContext): Promise<void>;
  /** Restores one archive, reading nothing else. On failure the new volumes are freed and the husk's configuration stays. */
  restore(request: RestoreRequest, context: TaskContext): Promise<void>;
  /** The guest configuration in an archive, with its `#qmdump#map:` lines. Reads only the archive's header. */
  extractConfig(archivePath: string): Promise<string>;
}
