/** `homelab:drill:IsolationProbe`: nothing answers the restored VM from inside, or it is stopped. Nothing is thrown. */
import { pollUntil } from "../../pve/wait";
import { stopVm, vmConfig } from "../../pve/nodes/qemu";
import { waitForTask } from "../../pve/nodes/tasks";
import { networkKeys } from "../../pve/vm-config";
import { guestOf, NotTried } from "../checks/guest";
import {
  isolationProbeInputsSchema,
  type IsolationProbeInputs,
  type IsolationProbeOutputs,
  type Observation,
} from "../contract/isolation";
import type { StepStatus } from "../contract/restore";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { judgeIsolation, summaryOf } from "../isolation/judge";
import { observationsOf, NotUnderstood, probeCommand } from "../isolation/observe";
import { appendEvent } from "../journal";
import { ownershipOf } from "../ownership";
import { messageOf, shorten } from "../text";
import { DRILL_TOKENS } from "../tokens";

/** What the probes may take once the network is up, on a slow machine. */
const PROBES_SECONDS = 60;

export const isolationProbe: ResourceDefinition<IsolationProbeInputs, IsolationProbeOutputs> = {
  token: DRILL_TOKENS.isolationProbe,
  description: "Whether anything answers the restored VM from inside.",
  inputs: isolationProbeInputsSchema,
  computed: { status: "string", reason: "string" },
  replaceOn: "all",
  refusesSecrets: true,

  async create(context, inputs) {
    const { run } = inputs;
    const id = `${run.runId}/isolation`;
    const end = async (status: StepStatus, detail: string): Promise<{ id: string; outputs: IsolationProbeOutputs }> => {
      await appendEvent(run, { type: "phase-ended", phase: "isolation", status, detail });
      return { id, outputs: { ...inputs, status, reason: status === "passed" ? "" : detail } };
    };
    if (inputs.bootStatus !== "passed") return end("skipped", "the restored VM did not boot");
    try {
      return await end("passed", await proveIsolation(context, inputs));
    } catch (error) {
      if (context.signal.aborted) {
        const message = "Unable to probe the isolation: the update was cancelled. Run pulumi destroy.";
        throw new HalfMade(message, id, { ...inputs, status: "failed", reason: "cancelled" });
      }
      const detail = `${messageOf(error)} ${await stopRestored(context, inputs)}`;
      context.report("warning", detail);
      return end("failed", detail);
    }
  },
};

/** Gives the phase's text. @throws Error that says what answered, or why nothing could be asked */
async function proveIsolation(context: ProviderContext, inputs: IsolationProbeInputs): Promise<string> {
  const { run, controls, networkSeconds } = inputs;
  const cards = networkKeys(await vmConfig(context.client, run.node, run.vmId));
  // Without a card there is no network to wait for.
  const waitSeconds = cards.length === 0 ? 0 : networkSeconds;
  const observations = await askGuest(context, inputs, waitSeconds);
  const { results, waysOut, unproven, wasSent } = judgeIsolation(observations, controls);
  await appendEvent(run, { type: "isolation", probes: results });
  for (const text of unproven) {
    context.report("warning", text);
    await appendEvent(run, { type: "finding", text });
  }
  if (!wasSent && cards.length === 0) return "the VM has no network card, so there was nothing to ask";
  if (!wasSent) {
    throw new Error(
      `Unable to prove the isolation of VM ${run.vmId}: its guest could send nothing within ${waitSeconds} s, neither to an ` +
        `address nor by IPv6 link-local, although it has ${cards.join(", ")}. See in its console why its network is not up; ` +
        "if it is only slow, raise timeouts.networkSeconds.",
    );
  }
  if (waysOut.length === 0) return summaryOf(results);
  throw new Error(
    `VM ${run.vmId} has a way out of its isolated network: ${waysOut.join("; ")}. Find what else is on its bridge, which ` +
      "Proxmox does not show: a port or an address given by hand, the node's own IPv6 link-local address (disable_ipv6 for " +
      "the bridge), or rp_filter=0.",
  );
}

/** Asks until the guest has run the probes. What it printed counts; only an agent that was disturbed is asked again. */
async function askGuest(
  context: ProviderContext,
  { run, targets }: IsolationProbeInputs,
  waitSeconds: number,
): Promise<Observation[]> {
  const timeoutSeconds = waitSeconds + PROBES_SECONDS;
  const guest = guestOf(context.client, run, timeoutSeconds * 1000, context.signal, timeoutSeconds * 1000);
  const command = probeCommand(targets, waitSeconds);
  let lastSeen = "nothing";
  try {
    const found = await pollUntil({ timeoutMs: timeoutSeconds * 1000, signal: context.signal }, async () => {
      const { exitCode, stdout, stderr } = await guest.run(command);
      if (exitCode !== -1) return observationsOf(stdout, targets);
      lastSeen = shorten(stderr);
      return undefined;
    });
    if (found !== undefined) return found;
    throw new NotUnderstood(`they did not end within ${timeoutSeconds} s; last seen: ${lastSeen}`);
  } catch (error) {
    if (!(error instanceof NotUnderstood || error instanceof NotTried)) throw error;
    throw new Error(
      `Unable to probe from inside VM ${run.vmId} whether it is isolated: ${error.message}. The probes need bash, timeout ` +
        "(coreutils) and ip (iproute2): install them in the source VM and make a new backup.",
      { cause: error },
    );
  }
}

/** Whoever may reach production, or can't be shown not to, does not run on. It stays for a look; `destroy` removes it. */
async function stopRestored(
  { client, signal }: ProviderContext,
  { run, stopTimeoutSeconds }: IsolationProbeInputs,
): Promise<string> {
  try {
    if (ownershipOf(await vmConfig(client, run.node, run.vmId), run) !== "own") {
      return "It was not stopped, because it does not carry this run's name, marker and UUID any more: find out whose it is.";
    }
    await waitForTask(client, await stopVm(client, run.node, run.vmId), {
      timeoutMs: stopTimeoutSeconds * 1000,
      signal,
    });
    return "It was stopped before any service was checked.";
  } catch (error) {
    return `It could not be stopped: ${messageOf(error)} Stop it by hand: qm stop ${run.vmId}.`;
  }
}
