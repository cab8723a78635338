/** What the configuration says of a drill before anything is known of its archive. Pure. */
import type { PlannedRun } from "../provider/contract/run";
import type { DrillConfig, RestoreConfig } from "./config";

/** The run that a drill or restore stack begins. */
export function plannedRun(config: DrillConfig | RestoreConfig, stack: string): PlannedRun {
  const { targets, dockerVm, node, files, environmentNotes } = config;
  return {
    ...identity(config),
    stack,
    node,
    sourceVmId: dockerVm.vmId,
    evidenceDir: files.evidence,
    rtoTargetSeconds: targets.rtoMinutes * 60,
    rpoTargetSeconds: targets.rpoMinutes * 60,
    environmentNotes,
  };
}

function identity(config: DrillConfig | RestoreConfig): Pick<PlannedRun, "kind" | "vmId" | "vmName" | "outageAt"> {
  switch (config.kind) {
    case "drill":
      return { kind: "drill", vmId: config.drill.vmId, vmName: config.drill.name };
    case "restore": {
      const { vmId, name: vmName } = config.dockerVm;
      const { outageAt } = config.restore;
      return { kind: "emergency", vmId, vmName, ...(outageAt === undefined ? {} : { outageAt }) };
    }
  }
}
