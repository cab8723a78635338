/** Every call that the lab emulates. */
import { type Handler } from "../router";
import { accessHandlers } from "./access";
import { clusterBackupHandlers } from "./cluster/backup";
import { replicationHandlers } from "./cluster/replication";
import { clusterResourceHandlers } from "./cluster/resources";
import { networkHandlers } from "./nodes/network";
import { nodeHandlers } from "./nodes/node";
import { qemuHandlers } from "./nodes/qemu";
import { agentHandlers } from "./nodes/qemu/agent";
import { qemuConfigHandlers } from "./nodes/qemu/config";
import { qemuDiskHandlers } from "./nodes/qemu/disks";
import { qemuStatusHandlers } from "./nodes/qemu/status";
import { storageContentHandlers } from "./nodes/storage/content";
import { downloadHandlers } from "./nodes/storage/download";
import { storageStatusHandlers } from "./nodes/storage/status";
import { taskHandlers } from "./nodes/tasks";
import { vzdumpHandlers } from "./nodes/vzdump";
import { poolHandlers } from "./pools";
import { storageHandlers } from "./storage";
import { versionHandlers } from "./version";

export const handlers: readonly Handler[] = [
  ...versionHandlers,
  ...accessHandlers,
  ...poolHandlers,
  ...storageHandlers,
  ...clusterResourceHandlers,
  ...clusterBackupHandlers,
  ...replicationHandlers,
  ...nodeHandlers,
  ...networkHandlers,
  ...taskHandlers,
  ...vzdumpHandlers,
  ...storageStatusHandlers,
  ...storageContentHandlers,
  ...downloadHandlers,
  ...qemuHandlers,
  ...qemuConfigHandlers,
  ...qemuDiskHandlers,
  ...qemuStatusHandlers,
  ...agentHandlers,
];
