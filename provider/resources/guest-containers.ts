/** `homelab:drill:GuestContainers`: every container that ran at backup time runs again. Failures are recorded, not thrown. */
import { checkContainer, type CheckWindow } from "../checks/container-check";
import { watchOf } from "../checks/containers";
import { type Guest, guestOf } from "../checks/guest";
import { NOT_READY, notYet, type Outcome, tryUntilDone } from "../checks/outcome";
import { atBackup, findContainers, type AtBackup, type Finding, type FoundContainer } from "../checks/ran-at-backup";
import { allResults, type CheckLabel, recorded, worstOf } from "../checks/recorded";
import {
  GUEST_CONTAINERS,
  guestContainersInputsSchema,
  type CheckResult,
  type GuestContainersInputs,
  type GuestContainersOutputs,
} from "../contract/checks";
import type { RunRef } from "../contract/run";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { readJournal } from "../journal";
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
    return allResults([recorded(context, run, WHOLE, async () => NOT_READY)]);
  }
  const archivedAt = await archiveTimeMs(run);
  const guest = guestOf(context.client, run, timeoutSeconds * 1000, context.signal);
  let found: Finding | undefined;
  const look = await recorded(context, run, WHOLE, async () => {
    const outcome = await tryUntilDone(guest, async () => {
      found = await findContainers(guest);
      return "problem" in found
        ? notYet(`Docker does not answer: ${found.problem}`)
        : { outcome: judge(found, archivedAt) };
    });
    return outcome;
  });
  const results = look === undefined ? [] : [look];
  if (found === undefined || !("containers" in found)) return results;
  const looked = found;
  const ran = looked.containers.filter((container) => atBackup(container, looked, archivedAt) === "ran");
  const checks = await checkAll(context, inputs, guest, ran);
  return [...results, ...checks];
}

/** When the backup began, milliseconds since the epoch, as the run's lease has recorded it. */
async function archiveTimeMs({ runDir }: RunRef): Promise<number> {
  const started = (await readJournal(runDir)).find((event) => event.type === "run-started");
  if (started === undefined) {
    throw new Error(
      `Unable to tell what ran at backup time: the journal in ${runDir} does not say which archive was restored. Run pulumi destroy.`,
    );
  }
  return started.restorePoint.archiveTime * 1000;
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

/** Where nothing ran, nothing came back either: boot and guest agent alone must not pass for services that run again. */
function judge(finding: Exclude<Finding, { problem: string }>, archivedAt: number): Outcome {
  if ("hasNoDocker" in finding) {
    const { otherEngine } = finding;
    const engine =
      otherEngine === undefined
        ? "no container engine that is known here"
        : `no Docker but ${otherEngine}, whose containers can't be judged`;
    return { status: "skipped", detail: `the guest has ${engine}; ${NOTHING_PROVED}` };
  }
  const namesOf = (state: AtBackup): string =>
    finding.containers
      .filter((container) => atBackup(container, finding, archivedAt) === state)
      .map(({ name }) => name)
      .join(", ");
  const [ran, stopped, later] = [namesOf("ran"), namesOf("stopped"), namesOf("started later")];
  const rest = [
    ...(stopped === "" ? [] : [`stopped already before the backup: ${stopped}`]),
    ...(later === "" ? [] : [`started after the boot by something else than the engine, so not judged: ${later}`]),
  ];
  if (ran === "") {
    const detail = ["no container is known to have run at backup time", ...rest, NOTHING_PROVED].join("; ");
    return { status: "skipped", detail };
  }
  return { status: "passed", detail: [`${ran.split(", ").length} containers ran (${ran})`, ...rest].join("; ") };
}

const NOTHING_PROVED = "of its services nothing was proved, only that it boots and that its guest agent answers";
