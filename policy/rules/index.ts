/** Every rule of the pack. */
import type { Rule } from "../rule";
import { backupStorageApart, jobsLeaveDrillsOut, machinesHaveBackupJob, retentionAsSet } from "./backup";
import { containersContained, downloadsPinned, imagesPinned } from "./containers";
import { drillApart } from "./drill";
import { consentExpires, dockerVmWhole, statefulProtected } from "./protection";
import { noSecretInClear } from "./secrets";

export const RULES: readonly Rule[] = [
  machinesHaveBackupJob,
  jobsLeaveDrillsOut,
  retentionAsSet,
  backupStorageApart,
  statefulProtected,
  dockerVmWhole,
  consentExpires,
  drillApart,
  imagesPinned,
  downloadsPinned,
  containersContained,
  noSecretInClear,
];
