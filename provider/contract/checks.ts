/** Inputs and outputs of the checks, which all run through the guest agent. */
import { z } from "zod";
import { runRefSchema } from "./run";
import { stepStatusSchema, type StepStatus } from "./restore";

/** The container is healthy (or, without a health check, running) and does not restart during the window. */
export const containerCheckSchema = z.strictObject({
  kind: z.literal("container"),
  name: z.string(),
  container: z.string(),
  /** Whether Docker's health status must become `healthy`; else the container must be running. */
  hasHealthCheck: z.boolean(),
});

/** HTTPS GET inside the guest through the restored proxy, with name and chain verified. */
export const httpCheckSchema = z.strictObject({
  kind: z.literal("http"),
  name: z.string(),
  /** Full host name; resolved to the guest's loopback address by curl's `--resolve`. */
  hostName: z.string(),
  /** Containers on the request's way: the proxy's and the service's. The check fails as soon as one of them stays stopped. */
  containers: z.array(z.string()),
  path: z.string().startsWith("/"),
  expectStatus: z.number().int(),
  expectBodyIncludes: z.string().optional(),
  /** PEM of the root that prod recorded. Absent: the chain cannot be verified, the check is `skipped`. */
  rootCertificatePem: z.string().optional(),
});

/** One value from a PostgreSQL container, compared. */
export const sqlCheckSchema = z.strictObject({
  kind: z.literal("sql"),
  name: z.string(),
  container: z.string(),
  database: z.string(),
  user: z.string(),
  /** `{bootedAt}` stands for the moment of the restored guest's boot, ISO 8601 in UTC. */
  query: z.string(),
  /** Seconds since the epoch: the archive's `ctime`. A guest that booted before it by its own clock can't tell what is older. */
  archiveTime: z.number().int().positive(),
  expect: z.union([z.strictObject({ atLeast: z.number() }), z.strictObject({ equals: z.string() })]),
});

/** The restored container is what the code says, or a deploy after the archive's time explains why it is not. */
export const deploymentCheckSchema = z.strictObject({
  kind: z.literal("deployment"),
  name: z.string(),
  container: z.string(),
  /** Image reference, with its digest where it is locked. */
  image: z.string(),
  /** `sha256:<hex>` that the image must have been pulled under; absent: not locked. */
  digest: z.string().optional(),
  /** Digest of the configuration that the code makes. */
  configuration: z.string(),
  /** Seconds since the epoch: the archive's `ctime`. */
  archiveTime: z.number().int().positive(),
  /** What prod recorded of its container; `at` is when that was made, ISO 8601 UTC. Absent: nothing recorded. */
  deployed: z.strictObject({ image: z.string(), configuration: z.string(), at: z.string() }).optional(),
});

/** No check, but the reason why there is none: the service can't be in this restore. Always `skipped`. */
export const excusedCheckSchema = z.strictObject({ kind: z.literal("excused"), name: z.string(), reason: z.string() });

export const checkSpecSchema = z.discriminatedUnion("kind", [
  containerCheckSchema,
  httpCheckSchema,
  sqlCheckSchema,
  deploymentCheckSchema,
  excusedCheckSchema,
]);
export type CheckSpec = z.infer<typeof checkSpecSchema>;

/**
 * Inputs of `homelab:drill:ServiceCheck`: all checks of one service. Services are checked side by side.
 * A failed check is recorded and the resource finishes.
 */
export const serviceCheckInputsSchema = z.strictObject({
  run: runRefSchema,
  service: z.string().min(1),
  /** Whether the guest boots and, in a drill, is isolated; anything but `passed` makes every check `skipped`. */
  bootStatus: stepStatusSchema,
  checks: z.array(checkSpecSchema).min(1),
  /** Where the restored machine has no such container, the service is excused for this reason instead of being checked. */
  unlessAbsent: z.strictObject({ container: z.string(), reason: z.string() }).optional(),
  /** A mandatory check that is skipped fails the drill. */
  mandatory: z.boolean(),
  /** Each check is tried until it passes or this time is over. */
  timeoutSeconds: z.number().positive(),
});
export type ServiceCheckInputs = z.infer<typeof serviceCheckInputsSchema>;

/** Result of one check, as it also stands in journal and evidence. Contains no secrets and no row data but the compared value. */
export interface CheckResult {
  service: string;
  name: string;
  kind: CheckSpec["kind"] | "recovery-point";
  status: StepStatus;
  mandatory: boolean;
  /** What was seen; for a failure also what was expected. */
  detail: string;
  startedAt: string;
  endedAt: string;
}

/** Outputs of `ServiceCheck`. */
export interface ServiceCheckOutputs extends ServiceCheckInputs {
  status: StepStatus;
  results: CheckResult[];
}

/**
 * Inputs of `homelab:drill:GuestContainers`: the checks of a machine of which nothing is known but its archive. Each
 * container that ran at backup time must run again. A failed check is recorded and the resource finishes.
 */
export const guestContainersInputsSchema = z.strictObject({
  run: runRefSchema,
  /** Whether the guest boots and, in a drill, is isolated; anything but `passed` makes the check `skipped`. */
  bootStatus: stepStatusSchema,
  /** Each check is tried until it passes or this time is over. */
  timeoutSeconds: z.number().positive(),
});
export type GuestContainersInputs = z.infer<typeof guestContainersInputsSchema>;

/** Outputs of `GuestContainers`. */
export interface GuestContainersOutputs extends GuestContainersInputs {
  status: StepStatus;
  results: CheckResult[];
}

/** Name under which the journal holds the check of a guest's containers as a whole. */
export const GUEST_CONTAINERS = "containers";

/** Inputs of `homelab:drill:RecoveryPoint`: reads the canary and measures the RPO. */
export const recoveryPointInputsSchema = z.strictObject({
  run: runRefSchema,
  bootStatus: stepStatusSchema,
  /** Boot id of the restored guest; its own new canary rows never count. */
  bootId: z.string(),
  /** Seconds since the epoch: the archive's `ctime`. */
  archiveTime: z.number().int().positive(),
  /** ISO 8601: start of the drill, or the stated time of the outage. */
  reference: z.string(),
  container: z.string(),
  database: z.string(),
  user: z.string(),
  table: z.string().regex(/^[a-z_][a-z0-9_]*$/),
  intervalSeconds: z.number().positive(),
  /** How far a canary stamp may lie after the archive's `ctime` and still count (clock skew, freeze). */
  skewSeconds: z.number().nonnegative(),
  timeoutSeconds: z.number().positive(),
});
export type RecoveryPointInputs = z.infer<typeof recoveryPointInputsSchema>;

/** Outputs of `RecoveryPoint`. */
export interface RecoveryPointOutputs extends RecoveryPointInputs {
  status: StepStatus;
  detail: string;
  /** ISO 8601 of the newest row that counts; empty if none. */
  recoveryPoint: string;
  /** RPO in seconds; -1 if it could not be measured. */
  rpoSeconds: number;
}

/** Inputs of `homelab:drill:Verdict`: depends on everything else, closes the journal, writes the evidence, throws if not passed. */
export const verdictInputsSchema = z.strictObject({
  run: runRefSchema,
  /** Names of the services whose checks must stand in the journal; a missing one fails the verdict. */
  expectedServices: z.array(z.string()),
  expectRecoveryPoint: z.boolean(),
});
export type VerdictInputs = z.infer<typeof verdictInputsSchema>;

/** Outputs of `Verdict`. */
export interface VerdictOutputs extends VerdictInputs {
  verdict: "passed" | "failed" | "aborted";
  rtoSeconds: number;
  rpoSeconds: number;
  /** Absolute path of `drill.json`. */
  evidenceFile: string;
  /** Absolute path of `report.md`. */
  reportFile: string;
}
