import * as pulumi from "@pulumi/pulumi";
import type { StepStatus } from "../provider/contract/restore";
import type { RemovalLimits, Replace, RestorePoint, RunKind, RunRef } from "../provider/contract/run";
import { Isolation, type IsolationTargets } from "./isolation";
import { GuestBoot, Lease, RestoredVm } from "../provider/sdk/drill";

export interface RestoredGuestArgs {
  /** `drill` restores beside production, `emergency` production itself. */
  kind: RunKind;
  /** Stack name, for the evidence. */
  stack: string;
  node: string;
  /** VMID and name of the restored VM. */
  vmId: number;
  vmName: string;
  /** VM that the archive must be of. */
  sourceVmId: number;
  /** Plain, so that the preview names the archive. */
  restorePoint: RestorePoint;
  /** Absent, only in an emergency: each disk on the storage that it was on. */
  storage?: string;
  /** Pool that the restored VM joins. */
  pool: string;
  /** Bridge without port and address; the provider verifies it. Absent in an emergency: cards as in the archive. */
  isolatedBridge?: string;
  /** Absent: as in the archive. */
  memoryMiB?: number;
  /** Absent: as in the archive. */
  cores?: number;
  /** Absent: the storage's own limit. */
  bandwidthLimitKiBps?: number;
  /** Absolute folder below which the run gets its evidence folder. */
  evidenceDir: string;
  /** Stated beginning of the outage that an emergency ends, ISO 8601. */
  outageAt?: string;
  /** Consent to replace a broken VM that stands; only in an emergency. Absent: none. */
  replace?: Replace;
  rtoTargetSeconds: number;
  rpoTargetSeconds: number;
  /** What differs from the operator's own environment. */
  environmentNotes: string[];
  /** Only in a drill: hours from the start until `homelab sweep` may remove the VM. */
  expiresAfterHours?: number;
  restoreTimeoutSeconds: number;
  /** Limits of what ends and removes the VM. */
  removalLimits: RemovalLimits;
  startTimeoutSeconds: number;
  agentTimeoutSeconds: number;
  /** What must not answer the restored VM. Absent only in an emergency, whose VM belongs where all of it answers. */
  isolation?: IsolationTargets & { networkSeconds: number; stopTimeoutSeconds: number };
}

const TOKEN = "homelab:components:RestoredGuest";

/**
 * An archive brought back to life: lease, restored VM, first boot, and in a drill the proof that it is isolated. A step that fails is recorded and the next ones are
 * skipped, so that the verdict can still be written.
 */
export class RestoredGuest extends pulumi.ComponentResource {
  /** The run that checks and verdict belong to. */
  readonly run: pulumi.Output<RunRef>;
  /** ISO 8601 UTC by the node's clock: start of the run. */
  readonly startedAt: pulumi.Output<string>;
  /** `passed`: the guest boots and, in a drill, is isolated, so that its services may be checked. */
  readonly bootStatus: pulumi.Output<StepStatus>;
  /** Kernel boot id of the restored guest; empty if it never answered. */
  readonly bootId: pulumi.Output<string>;

  constructor(name: string, args: RestoredGuestArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const lease = new Lease(
      `${name}-lease`,
      {
        kind: args.kind,
        stack: args.stack,
        node: args.node,
        vmId: args.vmId,
        vmName: args.vmName,
        sourceVmId: args.sourceVmId,
        restorePoint: args.restorePoint,
        ...(args.storage === undefined ? {} : { storage: args.storage }),
        ...(args.outageAt === undefined ? {} : { outageAt: args.outageAt }),
        ...(args.replace === undefined ? {} : { replace: args.replace }),
        ...(args.memoryMiB === undefined ? {} : { memoryMiB: args.memoryMiB }),
        ...(args.expiresAfterHours === undefined ? {} : { expiresAfterHours: args.expiresAfterHours }),
        removalLimits: args.removalLimits,
        evidenceDir: args.evidenceDir,
        rtoTargetSeconds: args.rtoTargetSeconds,
        rpoTargetSeconds: args.rpoTargetSeconds,
        environmentNotes: args.environmentNotes,
      },
      { parent: this },
    );
    const vm = new RestoredVm(
      `${name}-vm`,
      {
        kind: args.kind,
        run: lease.run,
        restorePoint: args.restorePoint,
        sourceVmId: args.sourceVmId,
        ...(args.storage === undefined ? {} : { storage: args.storage }),
        pool: args.pool,
        ...(args.isolatedBridge === undefined ? {} : { isolatedBridge: args.isolatedBridge }),
        ...(args.memoryMiB === undefined ? {} : { memoryMiB: args.memoryMiB }),
        ...(args.cores === undefined ? {} : { cores: args.cores }),
        ...(args.bandwidthLimitKiBps === undefined ? {} : { bandwidthLimitKiBps: args.bandwidthLimitKiBps }),
        ...(args.replace === undefined ? {} : { replace: args.replace }),
        restoreTimeoutSeconds: args.restoreTimeoutSeconds,
        removalLimits: args.removalLimits,
      },
      // The VMID is taken once, so the old VM goes first.
      { parent: this, deleteBeforeReplace: true },
    );
    const boot = new GuestBoot(
      `${name}-boot`,
      {
        run: lease.run,
        restoreStatus: vm.status,
        startTimeoutSeconds: args.startTimeoutSeconds,
        agentTimeoutSeconds: args.agentTimeoutSeconds,
      },
      { parent: this, dependsOn: [vm], deleteBeforeReplace: true },
    );
    this.run = lease.run;
    this.startedAt = lease.startedAtNode;
    this.bootStatus =
      args.isolation === undefined
        ? boot.status
        : new Isolation(
            `${name}-isolation`,
            { run: lease.run, sourceVmId: args.sourceVmId, bootStatus: boot.status, ...args.isolation },
            { parent: this },
          ).status;
    this.bootId = boot.bootId;
    this.registerOutputs({ bootStatus: this.bootStatus });
  }
}
