/** Everything that handlers work with. */
import { type BackupJobs } from "./backup-jobs";
import { type BackupEngine } from "./backup/types";
import { notEmulated } from "./errors";
import { type Faults } from "./faults/faults";
import { type Guests } from "./guests";
import { type Pools } from "./pools";
import { type AccessList } from "./privileges/access-list";
import { type LabSpec } from "./spec";
import { type LabVolumes } from "./storage";
import { type StorageConfig } from "./storage-config";
import { type TaskStore } from "./tasks";
import { type MachineRunner } from "./types";

/** The emulated node and its parts. */
export interface Lab {
  readonly spec: LabSpec;
  readonly now: () => Date;
  /** Seconds since the emulated node booted. */
  readonly uptime: () => number;
  readonly guests: Guests;
  readonly tasks: TaskStore;
  readonly storages: StorageConfig;
  readonly volumes: LabVolumes;
  readonly machines: MachineRunner;
  readonly backups: BackupEngine;
  readonly jobs: BackupJobs;
  readonly pools: Pools;
  readonly acl: AccessList;
  readonly faults: Faults;
}

/** @throws Error with PVE's text when the path names no node of the cluster; ApiError 501 for a node that has nothing. */
export function checkNode(lab: Lab, node: string): void {
  if (node === lab.spec.node.name) return;
  if (lab.spec.otherNodes?.includes(node) === true) throw notEmulated(`anything on node '${node}'`);
  throw new Error(
    `hostname lookup '${node}' failed - failed to get address info for: ${node}: Name or service not known`,
  );
}
