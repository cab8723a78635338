/** The emergency: production itself brought back from its backup, proved, measured, judged. */
import { RestoredGuest } from "../components/restored-guest";
import { lookupRestorePoint, Verdict } from "../provider/sdk/drill";
import type { ServiceSpec } from "../services/spec";
import type { RestoreConfig } from "./config";
import { plannedRun } from "./planned-run";
import { recoveryChecks, verdictOutputs } from "./recovery";
import { removalLimits } from "./removal-limits";

/** Declares everything of stack kind `restore`. Returns the stack's outputs. */
export async function restore(
  config: RestoreConfig,
  catalogue: readonly ServiceSpec[],
  stack: string,
): Promise<Record<string, unknown>> {
  const { restore: target, timeouts, dockerVm, node } = config;
  const run = plannedRun(config, stack);
  const restorePoint = await lookupRestorePoint({
    node,
    storage: config.backupStorage,
    sourceVmId: dockerVm.vmId,
    choice: target.restorePoint,
    plannedRun: run,
  });

  const guest = new RestoredGuest("restore", {
    ...run,
    restorePoint,
    pool: dockerVm.pool,
    ...(target.storage === undefined ? {} : { storage: target.storage }),
    ...(target.bandwidthLimitKiBps === undefined ? {} : { bandwidthLimitKiBps: target.bandwidthLimitKiBps }),
    removalLimits: removalLimits(timeouts),
    ...(target.replace === undefined ? {} : { replace: target.replace }),
    restoreTimeoutSeconds: timeouts.restoreSeconds,
    startTimeoutSeconds: timeouts.startSeconds,
    agentTimeoutSeconds: timeouts.agentSeconds,
  });
  const reference = target.outageAt ?? guest.startedAt;
  const checks = recoveryChecks(config, { catalogue, guest, restorePoint, reference });
  const { expectedServices, expectRecoveryPoint } = checks;
  const verdict = new Verdict(
    "verdict",
    { run: guest.run, expectedServices, expectRecoveryPoint },
    { dependsOn: checks.checks },
  );
  return verdictOutputs(restorePoint, verdict);
}
