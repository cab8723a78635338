/** `homelab:drill:ServiceCheck`: all checks of one service, side by side. Failures are recorded, not thrown. */
import { pollUntil } from "../../pve/wait";
import { checkDeployment } from "../checks/deployment-check";
import { checkContainer } from "../checks/container-check";
import { type ContainerWatch, watchOf } from "../checks/containers";
import { type Guest, guestOf } from "../checks/guest";
import { checkHttp } from "../checks/http-check";
import { NOT_READY, type Outcome } from "../checks/outcome";
import { allResults, type CheckLabel, recorded, worstOf } from "../checks/recorded";
import { joinWindow } from "../checks/run-window";
import { checkSql } from "../checks/sql";
import {
  serviceCheckInputsSchema,
  type CheckResult,
  type CheckSpec,
  type ServiceCheckInputs,
  type ServiceCheckOutputs,
} from "../contract/checks";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
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
    const outputs: ServiceCheckOutputs = { ...inputs, status: worstOf(results), results };
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
    return allResults(checks.map((check) => recorded(context, run, labelOf(inputs, check), async () => NOT_READY)));
  }
  const guest = guestOf(context.client, run, timeoutSeconds * 1000, context.signal);
  const watch = watchOf(context.client, run, context.signal);
  const { unlessAbsent } = inputs;
  if (unlessAbsent !== undefined && (await isAbsent(guest, watch, unlessAbsent.container))) {
    const excused: CheckSpec = { kind: "excused", name: "not in this restore", reason: unlessAbsent.reason };
    const label = labelOf({ ...inputs, mandatory: false }, excused);
    return allResults([recorded(context, run, label, () => checkInGuest(guest, watch, run.runId, excused))]);
  }
  const others = checks.map(async (check) =>
    check.kind === "container"
      ? undefined
      : recorded(context, run, labelOf(inputs, check), () => checkInGuest(guest, watch, run.runId, check)),
  );
  const window = { othersDone: joinWindow(run.runId, others), atLeastMs: context.containerWindowMs };
  const containers = checks.map(async (check) =>
    check.kind === "container"
      ? recorded(context, run, labelOf(inputs, check), () => checkContainer(guest, watch, check, window))
      : undefined,
  );
  return allResults(checks.map(async (_, index) => (await others[index]) ?? (await containers[index])));
}

/** False also where the guest can't be asked: then the checks say so. */
async function isAbsent(guest: Guest, watch: ContainerWatch, container: string): Promise<boolean> {
  const look = await pollUntil({ timeoutMs: guest.leftMs() / 2, signal: guest.signal }, async () => {
    const seen = await watch.look(container);
    return "problem" in seen ? undefined : seen;
  }).catch(() => undefined);
  return look !== undefined && !look.states.has(container);
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

function labelOf({ service, mandatory }: ServiceCheckInputs, { name, kind }: CheckSpec): CheckLabel {
  return { service, name, kind, mandatory };
}
