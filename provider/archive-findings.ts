/** What is worth knowing of an archive before it is restored. Pure. */
import { diskKeys, disksNotInArchive, driveVolume, isCdrom, parseVmConfig } from "../pve/vm-config";
import { ownerOfVolume } from "../pve/volume-id";
import type { LeaseInputs } from "./contract/run";

/**
 * One text each, for the evidence. `archiveConfig`: the configuration inside the archive, `#qmdump#` lines included.
 *
 * @throws Error when all disks in it are another VM's: the file was renamed, and its name is all that Proxmox goes by; when it holds
 * no data at all, as the nightly backup of a VM that a replacement has just emptied
 */
export function archiveFindings(
  { restorePoint, sourceVmId }: Pick<LeaseInputs, "restorePoint" | "sourceVmId">,
  archiveConfig: string,
): string[] {
  const others = otherOwners(archiveConfig, sourceVmId);
  if (others.length > 0) {
    throw new Error(
      `Unable to restore ${restorePoint.archive}: it is named as an archive of VM ${sourceVmId}, and the disks in it are those of ` +
        `${others.map((owner) => `VM ${owner}`).join(" and ")}. Give the file its own name again, or choose another archive (restorePoint).`,
    );
  }
  const keys = disksNotInArchive(archiveConfig);
  if (!dataDisks(archiveConfig).some((key) => !keys.includes(key))) {
    throw new Error(
      `Unable to restore ${restorePoint.archive}: it holds no disk with data of VM ${sourceVmId}` +
        `${keys.length === 0 ? ", as a backup of a VM whose disks were taken out" : ` (${keys.join(", ")} left out by backup=0)`}. ` +
        "Name an older one: restorePoint {choose: named, archive: …}.",
    );
  }
  if (keys.length === 0) return [];
  return [
    `The archive ${restorePoint.archive} does not hold ${keys.join(", ")} of VM ${sourceVmId}, as for disks with backup=0: ` +
      "their data has no backup here and is not restored. Set backup=1 on them, or back them up in another way.",
  ];
}

/** Keys of the disks that a configuration names, without CD-ROMs and what firmware and TPM keep. */
function dataDisks(archiveConfig: string): string[] {
  const config = parseVmConfig(archiveConfig);
  return diskKeys(config).filter((key) => !/^(?:efidisk|tpmstate)\d+$/.test(key) && !isCdrom(config[key] ?? ""));
}

/** VMIDs that the disks of a configuration are named after, if none of them is named after this one. */
function otherOwners(archiveConfig: string, vmId: number): number[] {
  const config = parseVmConfig(archiveConfig);
  const owners = new Set(diskKeys(config).map((key) => ownerOfVolume(driveVolume(config[key] ?? ""))));
  return owners.has(vmId) ? [] : [...owners].filter((owner) => owner !== undefined);
}
