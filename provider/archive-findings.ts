/** What is worth knowing of an archive before it is restored. Pure. */
import { disksNotInArchive } from "../pve/vm-config";
import type { LeaseInputs } from "./contract/run";

/** One text each, for the evidence. `archiveConfig`: the configuration inside the archive, `#qmdump#` lines included. */
export function archiveFindings({ restorePoint, sourceVmId }: LeaseInputs, archiveConfig: string): string[] {
  const keys = disksNotInArchive(archiveConfig);
  if (keys.length === 0) return [];
  return [
    `The archive ${restorePoint.archive} does not hold ${keys.join(", ")} of VM ${sourceVmId}, as for disks with backup=0: ` +
      "their data has no backup here and is not restored. Set backup=1 on them, or back them up in another way.",
  ];
}
