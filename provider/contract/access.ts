/** What a stack needs to reach before it changes anything. */
import { z } from "zod";
import { vmIdSchema } from "./run";

/** Arguments of the invoke `homelab:index:checkAccess`. */
export const checkAccessArgsSchema = z.strictObject({
  /** Node that the stack works on. */
  node: z.string().min(1),
  /** Cloudflare's id of the zone whose records the stack makes; absent: Cloudflare is not asked. */
  zoneId: z.string().min(1).optional(),
  /** The Docker VM whose services the stack changes, and the pool that it is in or made in; absent: it is not asked. */
  dockerVm: z.strictObject({ vmId: vmIdSchema, address: z.string().min(1), pool: z.string().min(1) }).optional(),
  /**
   * A VM that the stack would make empty if it is not there, and the storage of its archives: while there is one, it has to be
   * restored instead. Absent: not looked at.
   */
  newVm: z.strictObject({ vmId: vmIdSchema, backupStorage: z.string().min(1) }).optional(),
  /** Pool that a restored VM joins; absent: no pool is looked at. */
  pool: z.string().min(1).optional(),
  /** The bridge that a drill restores VM `vmId` into; absent: no bridge is looked at. */
  drill: z.strictObject({ vmId: vmIdSchema, isolatedBridge: z.string().min(1) }).optional(),
});
export type CheckAccessArgs = z.infer<typeof checkAccessArgsSchema>;

/** Answer of `homelab:index:checkAccess`. No secrets. */
export const accessSchema = z.strictObject({
  /** Why the stack can't run, a sentence each; empty: nothing stands in the way. */
  problems: z.array(z.string()),
  /** What may stop a part of it, such as a service that does not answer just now. */
  warnings: z.array(z.string()),
  /** Whether `newVm` is missing and its storage too, so that archives may come to light when the storage is made; absent: no. */
  lookAgain: z.literal(true).optional(),
});
export type Access = z.infer<typeof accessSchema>;
