/** What every resource of a drill or restore shares: which run it belongs to and which VM it may touch. */
import { z } from "zod";

/** Proxmox VMIDs: 100 to 999999999 (PVE `pve-vmid`). */
export const vmIdSchema = z.number().int().min(100).max(999_999_999);

/** Kind of run. `drill` restores beside production, `emergency` restores production itself. */
export const runKindSchema = z.enum(["drill", "emergency"]);
export type RunKind = z.infer<typeof runKindSchema>;

/** The operator's consent that a broken VM is replaced while its disks are kept. Only in an emergency. */
export const replaceSchema = z.strictObject({
  /** ISO 8601; afterwards no VM that stands is touched. */
  until: z.iso.datetime({ offset: true }),
  /** One sentence for the evidence. */
  reason: z.string().min(1),
  /** VMID of the VM that keeps the old disks until a person removes it. */
  asideVmId: vmIdSchema,
});
export type Replace = z.infer<typeof replaceSchema>;

/** The run a resource belongs to. All values come from the lease. No secrets. */
export const runRefSchema = z.strictObject({
  /** Run id, also the name of the evidence folder: `<UTC time>-<kind>-<random>`. */
  runId: z.string().min(1),
  /** Absolute folder of this run's evidence: `<evidenceDir>/<runId>`. */
  runDir: z.string().min(1),
  node: z.string().min(1),
  /** VMID the run works on; never a production VMID in a drill. */
  vmId: vmIdSchema,
  /** Proxmox name of the VM, part of the proof that the VM is the run's own. */
  vmName: z.string().min(1),
  /** SMBIOS UUID, part of the same proof: drawn for a drill, the archive's own in an emergency. */
  vmUuid: z.guid(),
  /** Only in a drill: when the VM may be swept away, ISO 8601 UTC; absent: never. */
  expiresAt: z.iso.datetime().optional(),
  /** Only in an emergency: the run that restored the VM, and neither it nor one after it passed; this one goes on. */
  resumes: z.string().optional(),
  /** Only in an emergency: digest of the configuration of the broken VM that this run replaces. */
  replaces: z.string().optional(),
});
export type RunRef = z.infer<typeof runRefSchema>;

/** The tag every VM of a drill carries. */
export const DRILL_TAG = "homelab-drill";

/** Line in the VM's description that names the run; together with name and UUID it proves that a VM is ours. */
export function runMarker(runId: string): string {
  return `homelab-run=${runId}`;
}

/** The marker's further line, after which `homelab sweep` removes the VM. */
export function expiryMarker(expiresAt: string): string {
  return `homelab-expires=${expiresAt}`;
}

/** Limits of what ends and removes a VM. */
export const removalLimitsSchema = z.strictObject({
  /** Ending a VM, or the task that makes it. Absent, as in older states: the default of the configuration. */
  stopTimeoutSeconds: z.number().positive().default(120),
  /** Removing a VM with its disks. Absent, as in older states: the default of the configuration. */
  removeTimeoutSeconds: z.number().positive().default(600),
});
export type RemovalLimits = z.infer<typeof removalLimitsSchema>;

/** The archive a run restores, as the restore point look-up found it. */
export const restorePointSchema = z.strictObject({
  /** PVE volume id, e.g. `nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst`. */
  archive: z.string().min(1),
  /** Seconds since the epoch: start of the backup, from the API's `ctime`. */
  archiveTime: z.number().int().positive(),
  /** Size of the archive file in bytes. */
  archiveBytes: z.number().int().nonnegative(),
  /** First line of the archive's notes; empty if none. */
  notes: z.string(),
});
export type RestorePoint = z.infer<typeof restorePointSchema>;

/** Which archive a run restores. */
export const restorePointChoiceSchema = z.discriminatedUnion("choose", [
  z.strictObject({ choose: z.literal("latest") }),
  /** Any one from the start of the UTC day N days ago on: old archives rot too. The same one all day. */
  z.strictObject({ choose: z.literal("random"), withinDays: z.number().int().positive() }),
  /** The newest that is not later than this time, ISO 8601 with zone. */
  z.strictObject({ choose: z.literal("before"), time: z.iso.datetime({ offset: true }) }),
  /** A volume id. */
  z.strictObject({ choose: z.literal("named"), archive: z.string().min(1) }),
]);
export type RestorePointChoice = z.infer<typeof restorePointChoiceSchema>;

/** Inputs of `homelab:drill:Lease`: it makes nothing in Proxmox, opens the journal and is deleted last. */
export const leaseInputsSchema = z.strictObject({
  kind: runKindSchema,
  stack: z.string().min(1),
  node: z.string().min(1),
  /** In an emergency the source VM's own. */
  vmId: vmIdSchema,
  /** In an emergency only what the VM is called where the archive has no name. */
  vmName: z.string().min(1),
  /** VM the archive was made of. */
  sourceVmId: vmIdSchema,
  restorePoint: restorePointSchema,
  /**
   * Target storage for all disks, whose room is compared with the archive's disks. Absent, only in an emergency: each disk on
   * the storage that it was on.
   */
  storage: z.string().min(1).optional(),
  /** Memory of the restored VM in MiB; absent: as in the archive. Compared with what the node has left. */
  memoryMiB: z.number().int().min(16).optional(),
  /** Absolute folder below which each run gets its own evidence folder. */
  evidenceDir: z.string().min(1),
  /** Targets in seconds; compared in the verdict, never a reason to stop. */
  rtoTargetSeconds: z.number().positive(),
  rpoTargetSeconds: z.number().positive(),
  /** When the outage began, as the operator states it; ISO 8601. Only in an emergency. Absent: not stated. */
  outageAt: z.iso.datetime({ offset: true }).optional(),
  /** Absent: a VM that stands is left alone, and the run is refused. */
  replace: replaceSchema.optional(),
  /** Only in a drill: hours from the start until `homelab sweep` may remove the VM. Absent: never. */
  expiresAfterHours: z.number().positive().optional(),
  removalLimits: removalLimitsSchema.optional(),
  /** What differs from the operator's own environment, e.g. the lab's overlay; goes into the evidence as it is. */
  environmentNotes: z.array(z.string()),
});
export type LeaseInputs = z.infer<typeof leaseInputsSchema>;

/** Outputs of the lease. */
export interface LeaseOutputs extends LeaseInputs {
  run: RunRef;
  /** ISO 8601 UTC by this computer's clock: start of the drill, from which the RTO counts. */
  startedAt: string;
  /** The same moment by the node's clock, which also dates the archives; from it the RPO counts. */
  startedAtNode: string;
  /** Host and port of the API that the run was made on, so that a `destroy` elsewhere is not taken for one here. */
  endpoint: string;
}

/** What is known of a run before its archive is, enough for the evidence of one that can't begin. */
export const plannedRunSchema = leaseInputsSchema.omit({
  ...{ restorePoint: true, storage: true, memoryMiB: true },
  ...{ expiresAfterHours: true, removalLimits: true, replace: true },
});
export type PlannedRun = z.infer<typeof plannedRunSchema>;

/** Inputs of the invoke `homelab:drill:lookupRestorePoint`. */
export const lookupRestorePointArgsSchema = z.strictObject({
  node: z.string().min(1),
  storage: z.string().min(1),
  /** VM whose archives are looked for. */
  sourceVmId: vmIdSchema,
  choice: restorePointChoiceSchema,
  /** The run that can't begin without an archive; its refusal is written into evidence. Absent in previews. */
  plannedRun: plannedRunSchema.optional(),
});
export type LookupRestorePointArgs = z.infer<typeof lookupRestorePointArgsSchema>;
