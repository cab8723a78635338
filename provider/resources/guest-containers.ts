/** `homelab:drill:GuestContainers`: every container that ran at backup time runs again. Failures are recorded, not thrown. */
import { checkContainer, type CheckWindow } from "../checks/container-check";
import { watchOf } from "../checks/containers";
import { type Guest, guestOf } from "../checks/guest";
import { notYet, type Outcome, passed, tryUntilDone } from "../checks/outcome";
import { findContainers, type Finding, type FoundContainer, ranAtBackup } from "../checks/ran-at-backup";
import { allResults, type CheckLabel, recorded, worstOf } from "../checks/recorded";
import {
  GUEST_CONTAINERS,
  guestContainersInputsSchema,
  type CheckResult,
  type GuestContainersInputs,
  type GuestContainersOutputs,
} from "../contract/checks";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { appendEvent } from "../journal";
import { DRILL_TOKENS } from "../tokens";

export const guestContainers: ResourceDefinition<GuestContainersInputs, GuestContainersOutputs> = {
  token: DRILL_TOKENS.guestContainers,
  description: "Whether every container that ran at backup time runs again, found out in the guest.",
  inputs: guestContainersInputsSchema,
  computed: { status: "string", results: "array" },
  replaceOn: "all",
  refusesSecrets: true,

  async create(context, inputs) {
    const { run } = inputs;
    const id = `${run.runId}/${GUEST_CONTAINERS}`;
    const results = await check(context, inputs);
    if (!context.signal.aborted) {
      const text = "The RPO was not measured: the generic profile knows no recovery canary. Add one to the catalogue.";
      await appendEvent(run, { type: "finding", text });
    }
    const outputs: GuestContainersOutputs = { ...inputs, status: worstOf(results), results };
    if (context.signal.aborted) {
      throw new HalfMade("Unable to check the containers: the update was cancelled. Run pulumi destroy.", id, outputs);
    }
    return { id, outputs };
  },
};

const WHOLE: CheckLabel = {
  service: GUEST_CONTAINERS,
  name: "containers that ran at backup time",
  kind: "container",
  mandatory: true,
};

async function check(context: ProviderContext, inputs: GuestContainersInputs): Promise<CheckResult[]> {
  const { run, bootStatus, timeoutSeconds } = inputs;
  if (bootStatus !== "passed") {
    const skipped: Outcome = { status: "skipped", detail: "the restored VM did not boot" };
    return allResults([recorded(context, run, WHOLE, async () => skipped)]);
  }
  const guest = guestOf(context.client, run, timeoutSeconds * 1000, context.signal);
  let found: Finding | undefined;
  const look = await recorded(context, run, WHOLE, async () => {
    const outcome = await tryUntilDone(guest, async () => {
      found = await findContainers(guest);
      return "problem" in found ? notYet(`Docker does not answer: ${found.problem}`) : passed(describe(found));
    });
    return outcome;
  });
  const results = look === undefined ? [] : [look];
  if (found === undefined || !("containers" in found)) return results;
  const { containers, bootedAt } = found;
  const ran = containers.filter((container) => ranAtBackup(container, bootedAt));
  const checks = await checkAll(context, inputs, guest, ran);
  return [...results, ...checks];
}

async function checkAll(
  context: ProviderContext,
  { run }: GuestContainersInputs,
  guest: Guest,
  containers: readonly FoundContainer[],
): Promise<CheckResult[]> {
  const watch = watchOf(context.client, run, context.signal);
  // Nothing else is checked, so the shortest time is the window in which a container must not restart.
  const window: CheckWindow = { othersDone: async () => undefined, atLeastMs: context.containerWindowMs };
  return allResults(
    containers.map(async (container) => {
      const name = container.hasHealthCheck ? "runs again and is healthy" : "runs again";
      const label: CheckLabel = { service: container.name, name, kind: "container", mandatory: true };
      return recorded(context, run, label, async () => {
        const { name: containerName, hasHealthCheck } = container;
        const outcome = await checkContainer(guest, watch, { container: containerName, hasHealthCheck }, window);
        return outcome.status === "failed" ? { ...outcome, detail: `${outcome.detail}${whyDown(container)}` } : outcome;
      });
    }),
  );
}

function whyDown({ error, restartPolicy }: FoundContainer): string {
  if (error !== "") return `; the engine says: ${error}`;
  if (restartPolicy === "no") return "; it has no restart policy, so nothing starts it after a restore";
  return "";
}

function describe(finding: Exclude<Finding, { problem: string }>): string {
  if ("hasNoDocker" in finding) return "the guest has no Docker; boot and guest agent are what was checked";
  const { containers, bootedAt } = finding;
  const names = (ran: boolean): string[] =>
    containers.filter((container) => ranAtBackup(container, bootedAt) === ran).map(({ name }) => name);
  const stopped = names(false);
  const rest = stopped.length === 0 ? "" : `; stopped already before the backup: ${stopped.join(", ")}`;
  return `${names(true).length} containers ran (${names(true).join(", ") || "none"})${rest}`;
}
