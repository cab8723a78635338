/** `homelab:drill:ServiceCheck`: all checks of one service, side by side. Failures are recorded, not thrown. */
import { checkDeployment } from "../checks/deployment-check";
import { checkContainer } from "../checks/container-check";
import { type ContainerWatch, watchOf } from "../checks/containers";
import { type Guest, guestOf } from "../checks/guest";
import { checkHttp } from "../checks/http-check";
import type { Outcome } from "../checks/outcome";
import { joinWindow } from "../checks/run-window";
import { checkSql } from "../checks/sql";
import {
  serviceCheckInputsSchema,
  type CheckResult,
  type CheckSpec,
  type ServiceCheckInputs,
  type ServiceCheckOutputs,
} from "../contract/checks";
import type { StepStatus } from "../contract/restore";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { appendEvent } from "../journal";
import { messageOf } from "../text";
import { DRILL_TOKENS } from "../tokens";

export const serviceCheck: ResourceDefinition<ServiceCheckInputs, ServiceCheckOutputs> = {
  token: DRILL_TOKENS.serviceCheck,
  description: "All checks of one service of a restored VM, through its guest agent.",
  inputs: serviceCheckInputsSchema,
  computed: { status: "string", results: "array" },
  replaceOn: "all",
  refusesSecrets: true,

  async create(context, inputs) {
    const id = `${inputs.run.runId}/${inputs.service}`;
    const results = await runChecks(context, inputs);
    const outputs: ServiceCheckOutputs = { ...inputs, status: worst(results), results };
    if (context.signal.aborted) {
      throw new HalfMade(
        `Unable to check ${inputs.service}: the update was cancelled. Run pulumi destroy.`,
        id,
        outputs,
      );
    }
    return { id, outputs };
  },
};

async function runChecks(context: ProviderContext, inputs: ServiceCheckInputs): Promise<CheckResult[]> {
  const { bootStatus, checks, run, timeoutSeconds } = inputs;
  if (bootStatus !== "passed") {
    const outcome: Outcome = { status: "skipped", detail: "the restored VM did not boot" };
    return inOrder(checks.map((check) => recorded(context, inputs, check, async () => outcome)));
  }
  const guest = guestOf(context.client, run, timeoutSeconds * 1000, context.signal);
  const watch = watchOf(context.client, run, context.signal);
  const others = checks.map(async (check) =>
    check.kind === "container"
      ? undefined
      : recorded(context, inputs, check, () => checkInGuest(guest, watch, run.runId, check)),
  );
  const window = { othersDone: joinWindow(run.runId, others), atLeastMs: context.containerWindowMs };
  const containers = checks.map(async (check) =>
    check.kind === "container"
      ? recorded(context, inputs, check, () => checkContainer(guest, watch, check, window))
      : undefined,
  );
  return inOrder(checks.map(async (_, index) => (await others[index]) ?? (await containers[index])));
}

/** Waits for all, also when one throws, so that nothing runs on unseen. */
async function inOrder(checks: readonly Promise<CheckResult | undefined>[]): Promise<CheckResult[]> {
  await Promise.allSettled(checks);
  return (await Promise.all(checks)).filter((result) => result !== undefined);
}

async function checkInGuest(
  guest: Guest,
  watch: ContainerWatch,
  runId: string,
  check: Exclude<CheckSpec, { kind: "container" }>,
): Promise<Outcome> {
  switch (check.kind) {
    case "http":
      return checkHttp(guest, watch, check);
    case "sql":
      return checkSql(guest, watch, check);
    case "deployment":
      return checkDeployment(guest, runId, check);
    case "excused":
      return { status: "skipped", detail: check.reason };
  }
}

/** Runs one check and writes its result into the journal. An unexpected error is a failed check, a cancelled one is none. */
async function recorded(
  { signal, report }: ProviderContext,
  { run, service, mandatory }: ServiceCheckInputs,
  { kind, name }: CheckSpec,
  check: () => Promise<Outcome>,
): Promise<CheckResult | undefined> {
  const startedAt = new Date().toISOString();
  let outcome: Outcome;
  try {
    outcome = await check();
  } catch (error) {
    if (signal.aborted) return undefined;
    outcome = { status: "failed", detail: messageOf(error) };
  }
  const { status, detail, finding } = outcome;
  const result: CheckResult = {
    service,
    name,
    kind,
    status,
    mandatory,
    detail,
    startedAt,
    endedAt: new Date().toISOString(),
  };
  report(status === "passed" ? "progress" : "warning", `${name} ${status}: ${detail}`);
  await appendEvent(run, { type: "check", ...result });
  if (finding !== undefined) await appendEvent(run, { type: "finding", text: finding });
  return result;
}

function worst(results: readonly CheckResult[]): StepStatus {
  const statuses = results.map(({ status }) => status);
  return statuses.includes("failed") ? "failed" : statuses.includes("skipped") ? "skipped" : "passed";
}
