/** What drill and emergency have in common once a guest is restored: its checks, and what the stack tells. */
import type * as pulumi from "@pulumi/pulumi";
import type { DeployedCode } from "../components/deployment-checks";
import { GenericChecks } from "../components/generic-checks";
import { RecoveryChecks } from "../components/recovery-checks";
import type { RestoredGuest } from "../components/restored-guest";
import type { RestorePoint } from "../provider/contract/run";
import type { Verdict } from "../provider/sdk/drill";
import type { ServiceSpec } from "../services/spec";
import { rootCertificateFile, type DrillConfig, type RestoreConfig } from "./config";
import { deploymentsFile, readDeployments } from "./deployments";
import { digestOf, lockedReference, readImagesLock } from "./images-lock";
import { orRunError, readIfThere } from "./project-files";

/** What is checked, and against what. */
export interface RecoveryArgs {
  readonly catalogue: readonly ServiceSpec[];
  readonly guest: RestoredGuest;
  readonly restorePoint: RestorePoint;
  /** Moment from which the loss of data counts, ISO 8601. */
  readonly reference: pulumi.Input<string>;
}

/** The checks of a restored guest, by its profile. Throws a RunError when a file of the project can't be used. */
export function recoveryChecks(
  config: DrillConfig | RestoreConfig,
  { catalogue, guest, restorePoint, reference }: RecoveryArgs,
): RecoveryChecks | GenericChecks {
  const { run, bootStatus } = guest;
  const { checkSeconds: timeoutSeconds, canarySkewSeconds } = config.timeouts;
  const { profile } = config.kind === "drill" ? config.drill : config.restore;
  if (profile === "generic") return new GenericChecks("check", { run, bootStatus, timeoutSeconds });
  // Absent is an answer: without a recorded root the checks that need it are skipped, and the verdict says so.
  const rootCertificatePem = readIfThere(rootCertificateFile(config));
  return new RecoveryChecks("check", {
    kind: config.kind === "drill" ? "drill" : "emergency",
    run,
    startedAt: reference,
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
function deployedCode(
  config: DrillConfig | RestoreConfig,
  catalogue: readonly ServiceSpec[],
): ReadonlyMap<string, DeployedCode> {
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

/** The stack's outputs. */
export function verdictOutputs(restorePoint: RestorePoint, verdict: Verdict): Record<string, unknown> {
  return {
    archive: restorePoint.archive,
    verdict: verdict.verdict,
    rtoSeconds: verdict.rtoSeconds,
    rpoSeconds: verdict.rpoSeconds,
    reportFile: verdict.reportFile,
    evidenceFile: verdict.evidenceFile,
  };
}
