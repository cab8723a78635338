/**
 * The run journal and the evidence made from it.
 *
 * `journal.ndjson` is only ever appended to, one event a line, each line synced before the step goes on. `drill.json` and
 * `report.md` are made from the journal and from nothing else. A journal without `run-ended` belongs to a run that died;
 * the next command closes it as `aborted`.
 */
import { z } from "zod";
import { probeResultSchema } from "./isolation";
import { stepStatusSchema } from "./restore";
import { restorePointSchema, runKindSchema, vmIdSchema } from "./run";

const base = { at: z.iso.datetime({ precision: 3 }), runId: z.string() };

/** Phases of a run in their order. Their durations add up to the RTO. Only a drill has `isolation`. */
export const PHASES = ["restore", "verify", "start", "agent", "isolation", "checks"] as const;
export const phaseNameSchema = z.enum(PHASES);
export type PhaseName = z.infer<typeof phaseNameSchema>;

export const verdictValueSchema = z.enum(["passed", "failed", "aborted"]);
export type VerdictValue = z.infer<typeof verdictValueSchema>;

const checkFields = {
  service: z.string(),
  name: z.string(),
  kind: z.enum(["container", "http", "sql", "deployment", "excused", "recovery-point"]),
  status: stepStatusSchema,
  mandatory: z.boolean(),
  detail: z.string(),
  startedAt: z.iso.datetime({ precision: 3 }),
  endedAt: z.iso.datetime({ precision: 3 }),
};

export const journalEventSchema = z.discriminatedUnion("type", [
  z.strictObject({
    ...base,
    type: z.literal("run-started"),
    kind: runKindSchema,
    stack: z.string(),
    node: z.string(),
    vmId: vmIdSchema,
    vmName: z.string(),
    vmUuid: z.string(),
    sourceVmId: vmIdSchema,
    restorePoint: restorePointSchema,
    rtoTargetSeconds: z.number(),
    rpoTargetSeconds: z.number(),
    /** When the outage began, as the operator stated it; absent: not stated, or no emergency. */
    outageAt: z.string().optional(),
    /** Run whose restored VM this one takes up. */
    resumes: z.string().optional(),
    /** When that run began, by this computer's clock, ISO 8601; the RTO counts from it. Absent with `resumes`: no RTO is told. */
    recoveryStartedAt: z.iso.datetime({ precision: 3 }).optional(),
    environmentNotes: z.array(z.string()),
    /** Process that keeps the run going; a dead one means the run is over. */
    pid: z.number().int(),
    /** Name of the computer that the process runs on, because a process id means nothing elsewhere. */
    host: z.string().optional(),
    /** The node's clock minus this computer's, in seconds; absent: not measured. */
    clockOffsetSeconds: z.number().optional(),
    /** As in `vm-made`; only in journals of older versions. */
    hadNoVolumes: z.boolean().optional(),
  }),
  /** A run that was not begun: nothing was changed in Proxmox. Stands alone in its journal. */
  z.strictObject({
    ...base,
    type: z.literal("run-refused"),
    kind: runKindSchema,
    stack: z.string(),
    node: z.string(),
    vmId: vmIdSchema,
    vmName: z.string(),
    sourceVmId: vmIdSchema,
    /** Null when none was found. */
    restorePoint: restorePointSchema.nullable(),
    rtoTargetSeconds: z.number(),
    rpoTargetSeconds: z.number(),
    environmentNotes: z.array(z.string()),
    reason: z.string(),
  }),
  /** Written before Proxmox is asked to restore, so that a crash just after the call is recognised. */
  z.strictObject({
    ...base,
    type: z.literal("restore-requested"),
    vmId: vmIdSchema,
    archive: z.string(),
    /** Token that asks, `user@realm!name`: a task of someone else is never taken for the run's. */
    tokenId: z.string().optional(),
  }),
  /** An empty VM of the run took the VMID, and the token has its rights on it. */
  z.strictObject({
    ...base,
    type: z.literal("vm-made"),
    /** Whether all storages were seen to hold no disk of the VMID, so that all disks found later are the run's. */
    hadNoVolumes: z.boolean(),
  }),
  /** Proxmox accepted the restore: from now on something of this run may be at the VMID. */
  z.strictObject({ ...base, type: z.literal("restore-accepted"), upid: z.string() }),
  /** Proxmox refused the restore or the empty VM for it, or the run did not ask: no task of this run restores anything. */
  z.strictObject({ ...base, type: z.literal("restore-refused"), reason: z.string() }),
  /**
   * The restored VM of an emergency was verified and is given its own description, start on boot and protection back: from now
   * on it is production, and nothing of the run may remove it.
   */
  z.strictObject({ ...base, type: z.literal("handed-over") }),
  /** A broken VM begins to be replaced, goes on being replaced, or was replaced before: its disks go to, or are in, another VM. */
  z.strictObject({
    ...base,
    type: z.literal("replacing"),
    asideVmId: vmIdSchema,
    asideName: z.string(),
    /** Run that began it; its folder holds the old VM's configuration. */
    began: z.string(),
    /** Configuration keys of all disks of the old VM. */
    disks: z.array(z.string()),
    /** The operator's. */
    reason: z.string(),
  }),
  /** A disk of the old VM is in the other one, under the same key. */
  z.strictObject({ ...base, type: z.literal("disk-set-aside"), disk: z.string(), volume: z.string() }),
  /** The old VM is gone; none of its disks was deleted. */
  z.strictObject({ ...base, type: z.literal("replaced") }),
  /** End of a phase. It lasted from the end of the phase before (or the start of the run) to `at`. */
  z.strictObject({
    ...base,
    type: z.literal("phase-ended"),
    phase: phaseNameSchema,
    status: stepStatusSchema,
    detail: z.string(),
  }),
  /** What the restored VM could reach. No check: it proves nothing of a service. */
  z.strictObject({ ...base, type: z.literal("isolation"), probes: z.array(probeResultSchema) }),
  z.strictObject({ ...base, type: z.literal("check"), ...checkFields }),
  z.strictObject({
    ...base,
    type: z.literal("recovery-point"),
    status: stepStatusSchema,
    /** ISO 8601 of the newest canary row that counts; null if none. */
    recoveryPoint: z.string().nullable(),
    rpoSeconds: z.number().nullable(),
    detail: z.string(),
  }),
  /** Something worth knowing that does not change the verdict, e.g. a missed target. */
  z.strictObject({ ...base, type: z.literal("finding"), text: z.string() }),
  z.strictObject({
    ...base,
    type: z.literal("run-ended"),
    verdict: verdictValueSchema,
    reasons: z.array(z.string()),
  }),
  /** The VM of the run was removed; appended by `destroy` after the verdict. */
  z.strictObject({ ...base, type: z.literal("removed"), detail: z.string() }),
]);
export type JournalEvent = z.infer<typeof journalEventSchema>;

/** `drill.json`. Times are ISO 8601 UTC, durations seconds. Contains no secrets. */
export const evidenceSchema = z.strictObject({
  schemaVersion: z.literal(1),
  runId: z.string(),
  kind: runKindSchema,
  stack: z.string(),
  verdict: verdictValueSchema,
  /** Why the verdict is not `passed`; empty if it is. */
  reasons: z.array(z.string()),
  startedAt: z.string(),
  endedAt: z.string(),
  /** What was restored; all but the VM is null when no archive was found. */
  source: z.strictObject({
    vmId: vmIdSchema,
    archive: z.string().nullable(),
    archiveTime: z.number().nullable(),
    archiveBytes: z.number().nullable(),
    notes: z.string().nullable(),
    archiveAgeSeconds: z.number().nullable(),
  }),
  target: z.strictObject({ node: z.string(), vmId: vmIdSchema, vmName: z.string() }),
  /** `seconds` is null when the last check never passed: an RTO that was not reached is not a number. */
  rto: z.strictObject({ seconds: z.number().nullable(), targetSeconds: z.number(), met: z.boolean().nullable() }),
  /** The node's clock minus this computer's; null when it was not measured. RPO and age count by the node's. */
  clock: z.strictObject({ nodeOffsetSeconds: z.number().nullable() }),
  /** `seconds` is null when it was not measured; never negative. */
  rpo: z.strictObject({
    seconds: z.number().nullable(),
    targetSeconds: z.number(),
    met: z.boolean().nullable(),
    recoveryPoint: z.string().nullable(),
  }),
  /**
   * The outage that an emergency ended; null in a drill, and where it was not stated. `seconds`: from its beginning to the last
   * check passed; null when it was not reached.
   */
  outage: z.strictObject({ at: z.string(), seconds: z.number().nullable() }).nullable().default(null),
  /** Where the disks of the broken VM are that an emergency replaced; null where none was. */
  aside: z
    .strictObject({
      vmId: vmIdSchema,
      name: z.string(),
      /** Run that began it; its folder holds the old VM's configuration. */
      began: z.string(),
      disks: z.array(z.strictObject({ disk: z.string(), volume: z.string() })),
      /** Keys of the old VM's other disks: nothing confirmed them in this VM, so each may be in either. */
      left: z.array(z.string()),
      /** Whether the old VM is gone. */
      replaced: z.boolean(),
    })
    .nullable()
    .default(null),
  phases: z.array(
    z.strictObject({ phase: phaseNameSchema, status: stepStatusSchema, seconds: z.number(), detail: z.string() }),
  ),
  /** Probes from inside the restored VM; empty where none could be made, and in an emergency. */
  isolation: z.array(probeResultSchema).default([]),
  checks: z.array(z.strictObject(checkFields)),
  findings: z.array(z.string()),
  environmentNotes: z.array(z.string()),
});
export type Evidence = z.infer<typeof evidenceSchema>;
