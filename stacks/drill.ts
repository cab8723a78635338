/** The drill: a backup restored beside production, proved, measured, judged. */
import type { DeployedCode } from "../components/deployment-checks";
import { GenericChecks } from "../components/generic-checks";
import { RecoveryChecks } from "../components/recovery-checks";
import { RestoredGuest } from "../components/restored-guest";
import type { RestorePoint } from "../provider/contract/run";
import { lookupRestorePoint, Verdict } from "../provider/sdk/drill";
import type { ServiceSpec } from "../services/spec";
import { rootCertificateFile, type DrillConfig } from "./config";
import { deploymentsFile, readDeployments } from "./deployments";
import { digestOf, lockedReference, readImagesLock } from "./images-lock";
import { orRunError, readIfThere } from "./project-files";
import { plannedRun } from "./planned-run";

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
    isolatedBridge: target.isolatedBridge,
    ...(target.memoryMiB === undefined ? {} : { memoryMiB: target.memoryMiB }),
    ...(target.cores === undefined ? {} : { cores: target.cores }),
    ...(target.bandwidthLimitKiBps === undefined ? {} : { bandwidthLimitKiBps: target.bandwidthLimitKiBps }),
    restoreTimeoutSeconds: timeouts.restoreSeconds,
    startTimeoutSeconds: timeouts.startSeconds,
    agentTimeoutSeconds: timeouts.agentSeconds,
  });
  const checks = createChecks(config, catalogue, guest, restorePoint);
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

/** Throws a RunError when a file of the project can't be used. */
function createChecks(
  config: DrillConfig,
  catalogue: readonly ServiceSpec[],
  guest: RestoredGuest,
  restorePoint: RestorePoint,
): RecoveryChecks | GenericChecks {
  const { run, bootStatus } = guest;
  const { checkSeconds: timeoutSeconds, canarySkewSeconds } = config.timeouts;
  if (config.drill.profile === "generic") return new GenericChecks("check", { run, bootStatus, timeoutSeconds });
  // Absent is an answer: without a recorded root the checks that need it are skipped, and the verdict says so.
  const rootCertificatePem = readIfThere(rootCertificateFile(config));
  return new RecoveryChecks("check", {
    run,
    startedAt: guest.startedAt,
    bootStatus,
    bootId: guest.bootId,
    restorePoint,
    catalogue,
    code: deployedCode(config, catalogue),
    zone: config.zone,
    ...(rootCertificatePem === undefined ? {} : { rootCertificatePem }),
    timeoutSeconds,
    canarySkewSeconds,
  });
}

/** Throws a RunError when a file of the project can't be used. */
function deployedCode(config: DrillConfig, catalogue: readonly ServiceSpec[]): ReadonlyMap<string, DeployedCode> {
  const lock = orRunError(() => readImagesLock(config.files.imagesLock));
  const deployments = orRunError(() => readDeployments(deploymentsFile(config.files.trust)));
  return new Map(
    catalogue.map(({ name, image }) => {
      const digest = digestOf(image, lock);
      const recorded = deployments?.[name];
      return [
        name,
        {
          image: lockedReference(image, lock),
          ...(digest === undefined ? {} : { digest }),
          ...(recorded === undefined ? {} : { recorded }),
        },
      ];
    }),
  );
}
