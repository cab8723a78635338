/** `homelab:drill:RecoveryPoint`: the newest canary row that the backup brought back, and the RPO that follows. */
import { watchOf } from "../checks/containers";
import { guestOf } from "../checks/guest";
import { failed, NOT_READY, type Outcome, passed, tryUntilDone } from "../checks/outcome";
import { queryValue } from "../checks/sql";
import { recoveryPointInputsSchema, type RecoveryPointInputs, type RecoveryPointOutputs } from "../contract/checks";
import { HalfMade, type ResourceDefinition } from "../definition";
import { appendEvent } from "../journal";
import { messageOf } from "../text";
import { DRILL_TOKENS } from "../tokens";

/** Marks a value that was not measured; Pulumi outputs have no null. */
const NOT_MEASURED = -1;

export const recoveryPoint: ResourceDefinition<RecoveryPointInputs, RecoveryPointOutputs> = {
  token: DRILL_TOKENS.recoveryPoint,
  description: "The measured recovery point and RPO, from the canary's table in the restored database.",
  inputs: recoveryPointInputsSchema,
  computed: { status: "string", detail: "string", recoveryPoint: "string", rpoSeconds: "number" },
  replaceOn: "all",
  refusesSecrets: true,

  async create({ client, signal, report }, inputs) {
    const { run, bootStatus, timeoutSeconds } = inputs;
    const id = `${run.runId}/recovery-point`;
    let point = "";
    let outcome: Outcome;
    try {
      const watch = watchOf(client, run, signal);
      const guest = guestOf(client, run, timeoutSeconds * 1000, signal);
      outcome =
        bootStatus === "passed"
          ? await tryUntilDone(guest, async () => {
              const result = await queryValue(guest, watch, inputs, canaryQuery(inputs));
              if ("attempt" in result) return result.attempt;
              const judgement = judgePoint(inputs, result.value);
              // What is no time can stand in the detail, not where a time is expected.
              point = Number.isNaN(Date.parse(result.value)) ? "" : result.value;
              return judgement.status === "passed" ? passed(judgement.detail) : failed(judgement.detail);
            })
          : NOT_READY;
    } catch (error) {
      if (signal.aborted) {
        const outputs = {
          ...inputs,
          status: "failed",
          detail: "cancelled",
          recoveryPoint: "",
          rpoSeconds: NOT_MEASURED,
        };
        throw new HalfMade(
          "Unable to measure the recovery point: the update was cancelled. Run pulumi destroy.",
          id,
          outputs,
        );
      }
      outcome = { status: "failed", detail: messageOf(error) };
    }
    const rpoSeconds = point === "" ? NOT_MEASURED : rpoOf(inputs, point);
    report(outcome.status === "passed" ? "info" : "warning", `recovery point ${point || "unknown"}: ${outcome.detail}`);
    await appendEvent(run, {
      type: "recovery-point",
      ...outcome,
      recoveryPoint: point === "" ? null : point,
      rpoSeconds: point === "" ? null : rpoSeconds,
    });
    return { id, outputs: { ...inputs, ...outcome, recoveryPoint: point, rpoSeconds } };
  },
};

/**
 * The newest stamp that came out of the archive: not of the restored guest's own boot, and not later than the archive plus the
 * skew. ISO 8601 in UTC; empty if there is none.
 */
export function canaryQuery({ table, bootId, archiveTime, skewSeconds }: RecoveryPointInputs): string {
  if (!/^[0-9a-f-]{36}$/.test(bootId)) throw new Error(`Unable to read the canary: "${bootId}" is no boot id.`);
  return (
    `SELECT to_char(max(stamped_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM ${table} ` +
    `WHERE boot_id <> '${bootId}'::uuid AND stamped_at <= to_timestamp(${archiveTime + skewSeconds})`
  );
}

/** Seconds between the recovery point and the reference (start of the drill or time of the outage). */
function rpoOf({ reference }: RecoveryPointInputs, point: string): number {
  return (Date.parse(reference) - Date.parse(point)) / 1000;
}

/** Passed if a row came back that is at most two intervals older than the archive. */
export function judgePoint(inputs: RecoveryPointInputs, point: string): Outcome {
  const { archiveTime, intervalSeconds, table } = inputs;
  if (point === "") {
    const detail = `table ${table} has no row from before the archive; expected one within ${2 * intervalSeconds} s before it`;
    return { status: "failed", detail };
  }
  if (Number.isNaN(Date.parse(point))) return { status: "failed", detail: `"${point}" is no time` };
  const gap = archiveTime - Date.parse(point) / 1000;
  const text =
    gap >= 0
      ? `${gap.toFixed(1)} s before the archive`
      : `${(-gap).toFixed(1)} s after the archive's start, within the skew`;
  return gap > 2 * intervalSeconds
    ? { status: "failed", detail: `newest row is ${text}; at most ${2 * intervalSeconds} s expected` }
    : { status: "passed", detail: `newest row is ${text}` };
}
