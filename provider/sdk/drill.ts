/** Typed resource classes of the module `homelab:drill`: a restore, its checks and its verdict. */
import * as pulumi from "@pulumi/pulumi";
import type {
  CheckResult,
  GuestContainersInputs,
  RecoveryPointInputs,
  ServiceCheckInputs,
  VerdictInputs,
  VerdictOutputs,
} from "../contract/checks";
import type { IsolationControlInputs, IsolationProbeInputs, Observation, ProbeTarget } from "../contract/isolation";
import type { GuestBootInputs, RestoredNetwork, RestoredVmInputs, StepStatus } from "../contract/restore";
import type { LeaseInputs, LookupRestorePointArgs, RestorePoint, RunRef } from "../contract/run";
import { type InputsOf, withComputed } from "./resource";
import { DRILL_TOKENS, LOOKUP_RESTORE_POINT } from "../tokens";

/**
 * Finds the archive to restore, at preview as well as at update, so that the preview names it. Only an update records a failure
 * as the evidence of `plannedRun`, because a preview leaves nothing behind.
 *
 * Source: PVE `GET /nodes/{node}/storage/{storage}/content?content=backup&vmid=`.
 * Fails when the storage is offline, when the token cannot be shown able to see backups, and when there is no archive.
 */
export async function lookupRestorePoint(
  args: LookupRestorePointArgs,
  opts?: pulumi.InvokeOptions,
): Promise<RestorePoint> {
  const { plannedRun, ...search } = args;
  const sent = plannedRun === undefined || pulumi.runtime.isDryRun() ? search : args;
  try {
    return (await pulumi.runtime.invoke(LOOKUP_RESTORE_POINT, { ...sent }, opts)) as RestorePoint;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new pulumi.RunError(message.replace(/^invocation of \S+ returned an error: /, ""));
  }
}

/**
 * Opens a run: draws run id and VM identity, starts the journal and the clock. It makes nothing in Proxmox; its deletion,
 * which comes last, removes whatever carries the run's marker. A standing lease refuses every further `up`.
 */
export class Lease extends pulumi.CustomResource {
  /** The run that all further resources belong to. */
  declare readonly run: pulumi.Output<RunRef>;
  /** ISO 8601 UTC: the moment from which the RTO counts. */
  declare readonly startedAt: pulumi.Output<string>;
  /** The same moment by the node's clock, from which the RPO counts. */
  declare readonly startedAtNode: pulumi.Output<string>;

  constructor(name: string, args: InputsOf<LeaseInputs>, opts?: pulumi.CustomResourceOptions) {
    super(DRILL_TOKENS.lease, name, withComputed(args, ["run", "startedAt", "startedAtNode", "endpoint"]), opts);
  }
}

/**
 * A VM restored from an archive under the run's identity, with every network on the isolated bridge, not started.
 * Source: PVE `POST /nodes/{node}/qemu` with `archive`. A failed restore is recorded in `status`, not thrown.
 */
export class RestoredVm extends pulumi.CustomResource {
  declare readonly status: pulumi.Output<StepStatus>;
  /** Why `status` is not `passed`; empty otherwise. */
  declare readonly reason: pulumi.Output<string>;
  declare readonly networks: pulumi.Output<RestoredNetwork[]>;
  /** Volume ids of the restored disks. */
  declare readonly volumes: pulumi.Output<string[]>;
  /** Duration of the restore task in seconds. */
  declare readonly restoreSeconds: pulumi.Output<number>;

  constructor(name: string, args: InputsOf<RestoredVmInputs>, opts?: pulumi.CustomResourceOptions) {
    const computed = ["status", "reason", "upid", "created", "endpoint", "networks", "volumes", "restoreSeconds"];
    super(DRILL_TOKENS.restoredVm, name, withComputed(args, computed), opts);
  }
}

/** The restored VM's first start, up to the guest agent's answer. A guest that never answers is recorded, not thrown. */
export class GuestBoot extends pulumi.CustomResource {
  declare readonly status: pulumi.Output<StepStatus>;
  declare readonly reason: pulumi.Output<string>;
  /** Kernel boot id of the restored guest; empty if it never answered. */
  declare readonly bootId: pulumi.Output<string>;

  constructor(name: string, args: InputsOf<GuestBootInputs>, opts?: pulumi.CustomResourceOptions) {
    super(DRILL_TOKENS.guestBoot, name, withComputed(args, ["status", "reason", "bootId"]), opts);
  }
}

/**
 * What a restored VM must not reach, and whether the source VM, asked by SSH, does reach it. A source VM that can't be asked is a
 * finding, not an error.
 */
export class IsolationControl extends pulumi.CustomResource {
  declare readonly targets: pulumi.Output<ProbeTarget[]>;
  /** Empty when the source VM could not be asked. */
  declare readonly observations: pulumi.Output<Observation[]>;

  constructor(name: string, args: InputsOf<IsolationControlInputs>, opts?: pulumi.CustomResourceOptions) {
    super(DRILL_TOKENS.isolationControl, name, withComputed(args, ["targets", "observations"]), opts);
  }
}

/** Whether anything answers the restored VM from inside. A way out is recorded and the VM stopped; nothing is thrown. */
export class IsolationProbe extends pulumi.CustomResource {
  /** `passed`: the guest boots and nothing answers it, so that its services may be checked. */
  declare readonly status: pulumi.Output<StepStatus>;
  declare readonly reason: pulumi.Output<string>;

  constructor(name: string, args: InputsOf<IsolationProbeInputs>, opts?: pulumi.CustomResourceOptions) {
    super(DRILL_TOKENS.isolationProbe, name, withComputed(args, ["status", "reason"]), opts);
  }
}

/** All checks of one service through the guest agent. Failures are recorded, not thrown. */
export class ServiceCheck extends pulumi.CustomResource {
  declare readonly status: pulumi.Output<StepStatus>;
  declare readonly results: pulumi.Output<CheckResult[]>;

  constructor(name: string, args: InputsOf<ServiceCheckInputs>, opts?: pulumi.CustomResourceOptions) {
    super(DRILL_TOKENS.serviceCheck, name, withComputed(args, ["status", "results"]), opts);
  }
}

/** Whether every container that ran at backup time runs again, found out in the guest. Failures are recorded, not thrown. */
export class GuestContainers extends pulumi.CustomResource {
  declare readonly status: pulumi.Output<StepStatus>;
  declare readonly results: pulumi.Output<CheckResult[]>;

  constructor(name: string, args: InputsOf<GuestContainersInputs>, opts?: pulumi.CustomResourceOptions) {
    super(DRILL_TOKENS.guestContainers, name, withComputed(args, ["status", "results"]), opts);
  }
}

/** The measured recovery point and RPO, read from the canary's table in the restored database. */
export class RecoveryPoint extends pulumi.CustomResource {
  declare readonly status: pulumi.Output<StepStatus>;
  declare readonly detail: pulumi.Output<string>;
  /** ISO 8601; empty if no row counts. */
  declare readonly recoveryPoint: pulumi.Output<string>;
  /** Seconds; -1 if not measured. */
  declare readonly rpoSeconds: pulumi.Output<number>;

  constructor(name: string, args: InputsOf<RecoveryPointInputs>, opts?: pulumi.CustomResourceOptions) {
    super(
      DRILL_TOKENS.recoveryPoint,
      name,
      withComputed(args, ["status", "detail", "recoveryPoint", "rpoSeconds"]),
      opts,
    );
  }
}

/** Closes the run: writes `drill.json` and `report.md` from the journal, then fails the update if the verdict is not `passed`. */
export class Verdict extends pulumi.CustomResource {
  declare readonly verdict: pulumi.Output<VerdictOutputs["verdict"]>;
  /** Seconds; -1 if not reached. */
  declare readonly rtoSeconds: pulumi.Output<number>;
  /** Seconds; -1 if not measured. */
  declare readonly rpoSeconds: pulumi.Output<number>;
  declare readonly evidenceFile: pulumi.Output<string>;
  declare readonly reportFile: pulumi.Output<string>;

  constructor(name: string, args: InputsOf<VerdictInputs>, opts?: pulumi.CustomResourceOptions) {
    const computed = ["verdict", "rtoSeconds", "rpoSeconds", "evidenceFile", "reportFile"];
    super(DRILL_TOKENS.verdict, name, withComputed(args, computed), opts);
  }
}
