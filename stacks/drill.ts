/** The drill: a backup restored beside production, proved, measured, judged. */
import { existsSync, readFileSync } from "node:fs";
import { RecoveryChecks } from "../components/recovery-checks";
import { RestoredGuest } from "../components/restored-guest";
import { lookupRestorePoint, Verdict } from "../provider/sdk/drill";
import type { ServiceSpec } from "../services/spec";
import { rootCertificateFile, type DrillConfig } from "./config";

/** Declares everything of stack kind `drill`. Returns the stack's outputs. */
export async function drill(
  config: DrillConfig,
  catalogue: readonly ServiceSpec[],
  stack: string,
): Promise<Record<string, unknown>> {
  const { drill: target, timeouts, targets, dockerVm, node } = config;
  const run = {
    kind: "drill" as const,
    stack,
    node,
    vmId: target.vmId,
    vmName: target.name,
    sourceVmId: dockerVm.vmId,
    evidenceDir: config.files.evidence,
    rtoTargetSeconds: targets.rtoMinutes * 60,
    rpoTargetSeconds: targets.rpoMinutes * 60,
    environmentNotes: config.environmentNotes,
  };
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
    isolatedBridge: target.isolatedBridge,
    ...(target.memoryMiB === undefined ? {} : { memoryMiB: target.memoryMiB }),
    ...(target.cores === undefined ? {} : { cores: target.cores }),
    ...(target.bandwidthLimitKiBps === undefined ? {} : { bandwidthLimitKiBps: target.bandwidthLimitKiBps }),
    restoreTimeoutSeconds: timeouts.restoreSeconds,
    startTimeoutSeconds: timeouts.startSeconds,
    agentTimeoutSeconds: timeouts.agentSeconds,
  });
  const rootCertificatePem = readIfThere(rootCertificateFile(config));
  const checks = new RecoveryChecks("check", {
    run: guest.run,
    startedAt: guest.startedAt,
    bootStatus: guest.bootStatus,
    bootId: guest.bootId,
    restorePoint,
    catalogue,
    zone: config.zone,
    ...(rootCertificatePem === undefined ? {} : { rootCertificatePem }),
    timeoutSeconds: timeouts.checkSeconds,
    canarySkewSeconds: timeouts.canarySkewSeconds,
  });
  const verdict = new Verdict(
    "verdict",
    {
      run: guest.run,
      expectedServices: checks.expectedServices,
      expectRecoveryPoint: checks.expectRecoveryPoint,
    },
    { dependsOn: checks.checks },
  );

  return {
    archive: restorePoint.archive,
    verdict: verdict.verdict,
    rtoSeconds: verdict.rtoSeconds,
    rpoSeconds: verdict.rpoSeconds,
    reportFile: verdict.reportFile,
    evidenceFile: verdict.evidenceFile,
  };
}

/** Absent is an answer: without a recorded root the checks that need it are skipped, and the verdict says so. */
function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
