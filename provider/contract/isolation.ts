/** Inputs and outputs of the probes that try to get out of the isolated network from inside, and of their controls. */
import { z } from "zod";
import { sshTargetSchema } from "./production";
import { stepStatusSchema, type StepStatus } from "./restore";
import { runRefSchema, vmIdSchema } from "./run";

const ipAddress = z.union([z.ipv4(), z.ipv6()]);

/** An address and TCP port that must not answer a restored guest. Not secret. */
export const endpointSchema = z.strictObject({
  address: ipAddress,
  port: z.number().int().min(1).max(65_535),
});
export type Endpoint = z.infer<typeof endpointSchema>;

/** One address that is asked. A link-local one is asked on every interface of the guest. */
export const probeTargetSchema = z.strictObject({
  ...endpointSchema.shape,
  /** For people, such as `gateway`. */
  name: z.string().min(1),
});
export type ProbeTarget = z.infer<typeof probeTargetSchema>;

/**
 * What one probe found from one machine. `not-sent`: the machine had no way to send it, so that silence proves nothing of the
 * network.
 */
export const observationSchema = z.strictObject({
  /** The same from VM to VM: what was asked, and its address. */
  probe: z.string().min(1),
  outcome: z.enum(["answered", "silent", "not-sent"]),
  /** What was seen. */
  detail: z.string(),
});
export type Observation = z.infer<typeof observationSchema>;

/** A probe as it stands in journal and evidence. */
export const probeResultSchema = z.strictObject({
  ...observationSchema.shape,
  /** The same probe on the source VM, which must be answered for silence to mean something; `none`: it was not made. */
  control: z.enum(["answered", "silent", "none"]),
});
export type ProbeResult = z.infer<typeof probeResultSchema>;

/**
 * Inputs of `homelab:drill:IsolationControl`: finds out what is to be asked, and asks it from the source VM, by SSH, because a
 * drill's token shall run nothing in production. Needs nothing of the restored VM, so it costs the run no time.
 */
export const isolationControlInputsSchema = z.strictObject({
  run: runRefSchema,
  /** VM that the archive is of; its link-local addresses are asked, because the restored VM has its other ones itself. */
  sourceVmId: vmIdSchema,
  /** Gateways of production's network. */
  gateways: z.array(ipAddress),
  /** Addresses beyond all of it. */
  outside: z.array(endpointSchema).min(1),
  ssh: sshTargetSchema,
});
export type IsolationControlInputs = z.infer<typeof isolationControlInputsSchema>;

/** Outputs of `IsolationControl`. */
export interface IsolationControlOutputs extends IsolationControlInputs {
  targets: ProbeTarget[];
  /** Empty when the source VM could not be asked. */
  observations: Observation[];
}

/**
 * Inputs of `homelab:drill:IsolationProbe`: asks from inside the restored VM. An answer fails the run before any service is
 * checked and stops the VM, as does a probe that can't be made.
 */
export const isolationProbeInputsSchema = z.strictObject({
  run: runRefSchema,
  /** Status of the guest's boot; anything but `passed` makes the probes `skipped`. */
  bootStatus: stepStatusSchema,
  targets: z.array(probeTargetSchema).min(1),
  /** What the source VM found; none: every probe goes without a control. */
  controls: z.array(observationSchema),
  /** How long the guest may take to get its network up; then it is probed as it is. */
  networkSeconds: z.number().positive(),
  /** Until a VM that has a way out is stopped. */
  stopTimeoutSeconds: z.number().positive(),
});
export type IsolationProbeInputs = z.infer<typeof isolationProbeInputsSchema>;

/** Outputs of `IsolationProbe`. */
export interface IsolationProbeOutputs extends IsolationProbeInputs {
  status: StepStatus;
  /** Why the status is not `passed`; empty otherwise. */
  reason: string;
}
