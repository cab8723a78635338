/** What the configuration says of a drill before anything is known of its archive. Pure. */
import type { PlannedRun } from "../provider/contract/run";
import type { DrillConfig } from "./config";

/** The run that a drill stack begins. */
export function plannedRun(
  { drill, targets, dockerVm, node, files, environmentNotes }: DrillConfig,
  stack: string,
): PlannedRun {
  return {
    kind: "drill",
    stack,
    node,
    vmId: drill.vmId,
    vmName: drill.name,
    sourceVmId: dockerVm.vmId,
    evidenceDir: files.evidence,
    rtoTargetSeconds: targets.rtoMinutes * 60,
    rpoTargetSeconds: targets.rpoMinutes * 60,
    environmentNotes,
  };
}
