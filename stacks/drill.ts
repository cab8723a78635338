/** The drill: a backup restored beside production, proved, measured, judged. */
import { RestoredGuest } from "../components/restored-guest";
import { lookupRestorePoint, Verdict } from "../provider/sdk/drill";
import type { ServiceSpec } from "../services/spec";
import type { DrillConfig } from "./config";
import { plannedRun } from "./planned-run";
import { outsideOf } from "./outside";
import { recoveryChecks, verdictOutputs } from "./recovery";
import { removalLimits } from "./removal-limits";
import { sshTarget } from "./ssh-target";

/** Declares everything of stack kind `drill`. Returns the stack's outputs. */
export async function drill(
  config: DrillConfig,
  catalogue: readonly ServiceSpec[],
  stack: string,
): Promise<Record<string, unknown>> {
  const { drill: target, timeouts, dockerVm, node } = config;
  const run = plannedRun(config, stack);
  const restorePoint = await lookupRestorePoint({
    node,
    storage: config.backupStorage,
    sourceVmId: dockerVm.vmId,
    choice: target.restorePoint,
    plannedRun: run,
  });

  const guest = new RestoredGuest("drill", {
    ...run,
    restorePoint,
    storage: target.storage,
    pool: target.pool,
    isolatedBridge: target.isolatedBridge,
    ...(target.memoryMiB === undefined ? {} : { memoryMiB: target.memoryMiB }),
    ...(target.cores === undefined ? {} : { cores: target.cores }),
    ...(target.bandwidthLimitKiBps === undefined ? {} : { bandwidthLimitKiBps: target.bandwidthLimitKiBps }),
    expiresAfterHours: target.expiresAfterHours,
    removalLimits: removalLimits(timeouts),
    restoreTimeoutSeconds: timeouts.restoreSeconds,
    startTimeoutSeconds: timeouts.startSeconds,
    agentTimeoutSeconds: timeouts.agentSeconds,
    isolation: {
      gateways: [dockerVm.gateway, ...(dockerVm.ipv6 === undefined ? [] : [dockerVm.ipv6.gateway])],
      outside: outsideOf(config),
      ssh: sshTarget(config),
      networkSeconds: timeouts.networkSeconds,
      stopTimeoutSeconds: timeouts.stopSeconds,
    },
  });
  const checks = recoveryChecks(config, { catalogue, guest, restorePoint, reference: guest.startedAt });
  const verdict = new Verdict(
    "verdict",
    {
      run: guest.run,
      expectedServices: checks.expectedServices,
      expectRecoveryPoint: checks.expectRecoveryPoint,
    },
    { dependsOn: checks.checks },
  );

  return verdictOutputs(restorePoint, verdict);
}
