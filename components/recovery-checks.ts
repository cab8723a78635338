import * as pulumi from "@pulumi/pulumi";
import type { CheckSpec } from "../provider/contract/checks";
import type { StepStatus } from "../provider/contract/restore";
import type { RestorePoint, RunKind, RunRef } from "../provider/contract/run";
import { RecoveryPoint, ServiceCheck } from "../provider/sdk/drill";
import type { ServiceSpec } from "../services/spec";
import { checksOf, type CheckContext } from "./checks-from-catalogue";
import { newerThanArchive } from "./deployment-checks";

export interface RecoveryChecksArgs extends Omit<CheckContext, "reverseProxy" | "archiveTime"> {
  /** Only a drill is a closed network in which some services can't run. */
  kind: RunKind;
  run: pulumi.Input<RunRef>;
  /** Start of the run or, in an emergency, of the outage, from which the loss of data counts. ISO 8601. */
  startedAt: pulumi.Input<string>;
  bootStatus: pulumi.Input<StepStatus>;
  bootId: pulumi.Input<string>;
  restorePoint: RestorePoint;
  catalogue: readonly ServiceSpec[];
  /** Each check is tried until it passes or this time is over. */
  timeoutSeconds: number;
  /** How far a canary stamp may lie after the archive's time and still count. */
  canarySkewSeconds: number;
}

const TOKEN = "homelab:components:RecoveryChecks";

/**
 * Every service's checks, side by side, and the measured recovery point. All derive from the catalogue, so a service that
 * is added to it is checked from then on.
 */
export class RecoveryChecks extends pulumi.ComponentResource {
  /** For the verdict's `dependsOn`. */
  readonly checks: pulumi.Resource[];
  /** Names of the services whose checks the journal must hold. */
  readonly expectedServices: string[];
  /** Whether the catalogue has a canary. */
  readonly expectRecoveryPoint: boolean;

  constructor(name: string, args: RecoveryChecksArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const { run, bootStatus, timeoutSeconds } = args;
    const reverseProxy = args.catalogue.find((spec) => spec.reverseProxy)?.name;
    const { archiveTime } = args.restorePoint;
    const context = { ...args, archiveTime, ...(reverseProxy === undefined ? {} : { reverseProxy }) };
    const newerOf = (spec: ServiceSpec): string | undefined => newerThanArchive(args.code.get(spec.name), archiveTime);
    const services = args.catalogue.map((spec) => {
      const isCutOff = args.kind === "drill" && spec.inDrill === "cut-off";
      const reason = `cut off in a drill: ${spec.inDrillReason ?? "no reason given"}`;
      const newer = isCutOff ? undefined : newerOf(spec);
      const checks: CheckSpec[] = isCutOff
        ? [{ kind: "excused", name: "not in this restore", reason }]
        : checksOf(spec, context);
      return new ServiceCheck(
        `${name}-${spec.name}`,
        {
          ...{ run, service: spec.name, bootStatus, checks, mandatory: !isCutOff, timeoutSeconds },
          ...(newer === undefined ? {} : { unlessAbsent: { container: spec.name, reason: newer } }),
        },
        { parent: this },
      );
    });
    const recoveryPoints = args.catalogue.flatMap((spec) => {
      const { canary } = spec;
      return canary && spec.inDrill !== "cut-off" && newerOf(spec) === undefined
        ? [
            new RecoveryPoint(
              `${name}-recovery-point`,
              {
                run,
                bootStatus,
                bootId: args.bootId,
                archiveTime: args.restorePoint.archiveTime,
                reference: args.startedAt,
                container: canary.server,
                database: canary.database,
                user: canary.user,
                table: canary.table,
                intervalSeconds: canary.intervalSeconds,
                skewSeconds: args.canarySkewSeconds,
                timeoutSeconds,
              },
              { parent: this },
            ),
          ]
        : [];
    });
    this.checks = [...services, ...recoveryPoints];
    this.expectedServices = args.catalogue.map((spec) => spec.name);
    this.expectRecoveryPoint = recoveryPoints.length > 0;
    this.registerOutputs({});
  }
}
