/** No backup, no system. */
import { at, field, items, type PolicyResource, shown } from "../resource";
import type { Rule, StackViolation } from "../rule";
import { BACKUP_JOB, isMachine, isStorage } from "./types";

/** Storages that a Proxmox installation makes on the node's own disk. */
const NODE_STORAGES = new Set(["local", "local-lvm", "local-zfs", "local-btrfs"]);

/** Kinds of storage that are disks of the node. */
const NODE_STORAGE_TYPES = /:(Lvm|LvmLegacy|Lvmthin|LvmthinLegacy|Zfspool|ZfspoolLegacy)$/;

/** Where other file systems than the node's own are mounted: Proxmox' folder, and the Filesystem Hierarchy Standard's. */
const MOUNTS = /^\/(mnt|media|srv|net)\/./;

export const machinesHaveBackupJob: Rule = {
  name: "machine-has-backup-job",
  description: "Every VM and container of Proxmox is in an enabled backup job of the stack.",
  level: "mandatory",
  stack: (resources) => {
    const jobs = resources.filter(({ type }) => type === BACKUP_JOB);
    return resources.filter(isMachine).flatMap((machine): StackViolation[] => {
      const vmId = at(machine, "vmId");
      if (typeof vmId === "number" && jobs.some((job) => backsUp(job, machine, vmId))) return [];
      const message =
        `Unable to accept ${machine.name} (VMID ${shown(vmId)}): no enabled backup job of this stack takes it. ` +
        "Add its VMID to the vmids of a proxmoxve.backup.Job.";
      return [{ urn: machine.urn, message }];
    });
  },
};

function backsUp(job: PolicyResource, machine: PolicyResource, vmId: number): boolean {
  const node = at(job, "node");
  if (at(job, "enabled") === false || (node !== undefined && node !== at(machine, "nodeName"))) return false;
  return at(job, "all") === true ? !lists(job, "excludes", vmId) : lists(job, "vmids", vmId);
}

function lists(job: PolicyResource, name: string, vmId: number): boolean {
  return items(at(job, name)).some((listed) => listed === String(vmId));
}

export const jobsLeaveDrillsOut: Rule = {
  name: "backup-leaves-drills-out",
  // Which VMIDs drills have, production's stack does not know; a drill itself refuses to begin where a job takes its own.
  description: "A backup job that takes all guests leaves some out, as it has to for drills; which, a drill checks.",
  level: "mandatory",
  resource: (job) => {
    if (job.type !== BACKUP_JOB || at(job, "all") !== true || at(job, "enabled") === false) return [];
    if (items(at(job, "excludes")).length > 0) return [];
    return [
      `Unable to accept backup job ${job.name}: it takes all guests, so also a drill's VM that stands at its time, and no drill ` +
        "would begin. List the machines in vmids, or the VMIDs of your drills in excludes.",
    ];
  },
};

export const retentionAsSet: Rule = {
  name: "backup-retention",
  description: "A backup job keeps at least as many backups as the stack's configuration says.",
  level: "mandatory",
  resource: (job, { backup }) => {
    if (job.type !== BACKUP_JOB || backup === undefined) return [];
    const rules = at(job, "pruneBackups");
    const keepsAll: unknown = field(rules, "keep-all");
    if (keepsAll === "1" || keepsAll === "true") return [];
    const wanted = { "keep-last": backup.keepLast, "keep-daily": backup.keepDaily, "keep-weekly": backup.keepWeekly };
    return Object.entries(wanted).flatMap(([rule, least]) => {
      const kept = field(rules, rule);
      if (Number(typeof kept === "string" || typeof kept === "number" ? kept : 0) >= least) return [];
      return [
        `Unable to accept backup job ${job.name}: ${rule} is ${shown(kept)}, homelab:backup asks for at least ${least}. ` +
          `Set pruneBackups["${rule}"] to "${least}" or more, or lower the number in Pulumi.<stack>.yaml.`,
      ];
    });
  },
};

export const backupStorageApart: Rule = {
  name: "backup-storage-apart",
  description: "Backups lie neither on the storage of a machine's disks nor on a disk of the node.",
  level: "mandatory",
  resource: (resource, { dockerVm, backupStorage }) => {
    if (isStorage(resource)) return onNodeDisk(resource, backupStorage);
    if (resource.type !== BACKUP_JOB) return [];
    const storage = at(resource, "storage");
    const problem = (cause: string): string[] => [
      `Unable to accept backup job ${resource.name}: ${cause}; what kills the disk would kill the backup too. ` +
        "Set homelab:backupStorage to a storage on another device, such as a NAS.",
    ];
    if (typeof storage !== "string") return problem(`its storage is ${shown(storage)}`);
    const own = new Set([dockerVm.storage, ...dockerVm.dataDisks.map((disk) => disk.storage)]);
    if (own.has(storage)) return problem(`its storage ${storage} also holds disks of VM ${dockerVm.vmId}`);
    return NODE_STORAGES.has(storage) ? problem(`its storage ${storage} is the node's own disk`) : [];
  },
};

function onNodeDisk(storage: PolicyResource, backupStorage: string): string[] {
  if (at(storage, "resourceId") !== backupStorage && at(storage, "datastoreId") !== backupStorage) return [];
  const advice = "Use an NFS export, or the path below /mnt at which the NAS is mounted.";
  if (NODE_STORAGE_TYPES.test(storage.type)) {
    return [`Unable to accept backup storage ${backupStorage}: it is a disk of the node. ${advice}`];
  }
  const path = at(storage, "path");
  if (!/:Directory(Legacy)?$/.test(storage.type) || (typeof path === "string" && MOUNTS.test(path))) return [];
  return [
    `Unable to accept backup storage ${backupStorage}: its folder ${shown(path)} is on the node's disk. ${advice}`,
  ];
}
