/** Inputs and outputs of the VM restore and of the first boot of the restored VM. */
import { z } from "zod";
import { removalLimitsSchema, replaceSchema, restorePointSchema, runKindSchema, runRefSchema, vmIdSchema } from "./run";

/** Whether a step of a run went well. `skipped`: could not be tried because an earlier step failed. */
export const stepStatusSchema = z.enum(["passed", "failed", "skipped"]);
export type StepStatus = z.infer<typeof stepStatusSchema>;

/**
 * Inputs of `homelab:drill:RestoredVm` (PVE `POST /nodes/{node}/qemu` with `archive`).
 *
 * A failed restore is recorded in the journal and in `status`; the resource itself finishes, so that the verdict can
 * be written. Changing the restore point, node, VMID, storage or bridge replaces the VM (delete before create).
 */
export const restoredVmInputsSchema = z.strictObject({
  /** `drill`: another identity on the isolated bridge. `emergency`: the source VM itself, with nothing changed. */
  kind: runKindSchema,
  run: runRefSchema,
  restorePoint: restorePointSchema,
  /** VM the archive must be of; an archive of another VM is refused. */
  sourceVmId: vmIdSchema,
  /** Target storage for all disks. Absent, only in an emergency: each disk on the storage that it was on. */
  storage: z.string().min(1).optional(),
  /** Pool that the VM joins before anything is restored, so that the token's rights on it begin there. It must exist. */
  pool: z.string().min(1),
  /**
   * Every `netN` of the archive is moved to this bridge. It must have no port and no address; that is verified. Needed in a
   * drill, refused in an emergency.
   */
  isolatedBridge: z.string().min(1).optional(),
  /** Overrides the archive's memory, in MiB; absent: as in the archive. */
  memoryMiB: z.number().int().min(16).optional(),
  /** Overrides the archive's cores per socket; absent: as in the archive. */
  cores: z.number().int().min(1).optional(),
  /** Consent to replace the broken VM that the run's lease has seen; absent: none. Only in an emergency. */
  replace: replaceSchema.optional(),
  /** PVE `bwlimit`, KiB/s; absent: the storage's own limit. */
  bandwidthLimitKiBps: z.number().int().positive().optional(),
  /** Limit of the whole restore task. */
  restoreTimeoutSeconds: z.number().positive(),
  removalLimits: removalLimitsSchema.optional(),
});
export type RestoredVmInputs = z.infer<typeof restoredVmInputsSchema>;

/** A network card of the restored VM as read back before the first start. */
export interface RestoredNetwork {
  /** `net0`, `net1`, … */
  key: string;
  macAddress: string;
  bridge: string;
}

/** Outputs of `RestoredVm`. */
export interface RestoredVmOutputs extends RestoredVmInputs {
  status: StepStatus;
  /** Why the status is not `passed`; empty otherwise. */
  reason: string;
  /** UPID of the restore task; empty if Proxmox accepted none. */
  upid: string;
  /** Whether Proxmox accepted the create call, that is, whether something may have to be deleted. */
  created: boolean;
  /** Host and port of the API that accepted it; empty if none did. */
  endpoint: string;
  networks: RestoredNetwork[];
  /** Volume ids of the restored disks. */
  volumes: string[];
  restoreSeconds: number;
}

/** Inputs of `homelab:drill:GuestBoot`: start, guest agent, boot id. */
export const guestBootInputsSchema = z.strictObject({
  run: runRefSchema,
  /** Status of the restored VM; anything but `passed` makes the boot `skipped`. */
  restoreStatus: stepStatusSchema,
  startTimeoutSeconds: z.number().positive(),
  agentTimeoutSeconds: z.number().positive(),
});
export type GuestBootInputs = z.infer<typeof guestBootInputsSchema>;

/** Outputs of `GuestBoot`. */
export interface GuestBootOutputs extends GuestBootInputs {
  status: StepStatus;
  reason: string;
  /** `/proc/sys/kernel/random/boot_id` of the restored guest; empty if it never answered. */
  bootId: string;
}
