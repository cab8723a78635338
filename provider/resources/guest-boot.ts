/** `homelab:drill:GuestBoot`: the restored VM's first start, up to the guest agent's answer. */
import { isPassing, PveAgentUnavailable, PveError } from "../../pve/errors";
import { GuestAnswerLost, GuestCommandTimeout, pingAgent, runInGuest } from "../../pve/nodes/agent";
import { startVm, vmConfig, vmStatus, type VmStatus } from "../../pve/nodes/qemu";
import { waitForTask } from "../../pve/nodes/tasks";
import { parsePropertyString } from "../../pve/property-string";
import { lookMs, pollUntil } from "../../pve/wait";
import {
  guestBootInputsSchema,
  type GuestBootInputs,
  type GuestBootOutputs,
  type StepStatus,
} from "../contract/restore";
import type { RunRef } from "../contract/run";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { clockFinding } from "../guest-clock";
import { appendEvent } from "../journal";
import { messageOf } from "../text";
import { DRILL_TOKENS } from "../tokens";

const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

export const guestBoot: ResourceDefinition<GuestBootInputs, GuestBootOutputs> = {
  token: DRILL_TOKENS.guestBoot,
  description: "First start of the restored VM, up to the guest agent's answer.",
  inputs: guestBootInputsSchema,
  computed: { status: "string", reason: "string", bootId: "string" },
  replaceOn: "all",
  deleteBeforeReplace: true,
  refusesSecrets: true,

  async create(context, inputs) {
    const id = `${inputs.run.runId}/boot`;
    const outcome = { status: "failed" as StepStatus, reason: "", bootId: "" };
    if (inputs.restoreStatus !== "passed") {
      outcome.status = "skipped";
      outcome.reason = "the VM was not restored";
      await endPhase(inputs, "start", "skipped", outcome.reason);
      await endPhase(inputs, "agent", "skipped", outcome.reason);
      return { id, outputs: { ...inputs, ...outcome } };
    }
    let phase: "start" | "agent" = "start";
    try {
      await endPhase(inputs, "start", "passed", await start(context, inputs));
      phase = "agent";
      outcome.bootId = await waitForAgent(context, inputs);
      await endPhase(inputs, "agent", "passed", `boot id ${outcome.bootId}`);
      const text = await clockFinding(context, inputs.run);
      if (text !== undefined) {
        context.report("warning", text);
        await appendEvent(inputs.run, { type: "finding", text });
      }
      outcome.status = "passed";
    } catch (error) {
      outcome.reason = messageOf(error);
      context.report("warning", outcome.reason);
      if (context.signal.aborted) {
        const message = `Unable to boot VM ${inputs.run.vmId}: the update was cancelled. Run pulumi destroy.`;
        throw new HalfMade(message, id, { ...inputs, ...outcome });
      }
      await endPhase(inputs, phase, "failed", outcome.reason);
      if (phase === "start") await endPhase(inputs, "agent", "skipped", "the VM did not start");
    }
    return { id, outputs: { ...inputs, ...outcome } };
  },
};

/**
 * Whether a VM's configuration has the channel on which the guest agent answers.
 * Source: qemu-server `PVE/QemuServer/Agent.pm`, format of `agent`.
 */
export function hasAgent(agent: string | undefined): boolean {
  const { enabled } = parsePropertyString(agent ?? "", "enabled");
  return enabled !== undefined && /^(?:1|on|yes|true)$/i.test(enabled);
}

/** How long a look at the VM may fail before the boot does. */
const LOOK_MS = 60_000;

/** Whether the VM runs, also when the server is disturbed for a moment, but no longer than the wait that asks has left. */
async function lookAtVm(
  { client, signal }: ProviderContext,
  { node, vmId }: RunRef,
  leftMs = LOOK_MS,
): Promise<VmStatus> {
  let problem: PveError | undefined;
  const status = await pollUntil({ timeoutMs: Math.min(leftMs, LOOK_MS), signal }, async (left) => {
    try {
      return await vmStatus(client, node, vmId, { signal, timeoutMs: lookMs(left) });
    } catch (error) {
      if (!isPassing(error)) throw error;
      problem = error;
      return undefined;
    }
  });
  if (status !== undefined) return status;
  throw problem ?? new Error(`Unable to look at VM ${vmId}: the time is over. Look at its node.`);
}

/** Starts the VM and makes sure that it runs: a task that ended well is no proof. */
async function start(context: ProviderContext, { run, startTimeoutSeconds }: GuestBootInputs): Promise<string> {
  const { client, signal } = context;
  if (!hasAgent((await vmConfig(client, run.node, run.vmId))["agent"])) {
    throw new Error(
      `Unable to check VM ${run.vmId}: the configuration in its archive has no guest agent (agent is not enabled), and ` +
        "every check runs through it. Run qm set <VMID> --agent enabled=1 for the source VM, install qemu-guest-agent in " +
        "it, shut it down and start it, and make a new backup.",
    );
  }
  // A VM that is taken up may run for long, and a reboot would cost whoever uses it already.
  if (run.resumes !== undefined && (await lookAtVm(context, run)).status === "running") return "it runs already";
  const timeoutMs = startTimeoutSeconds * 1000;
  const upid = await startVm(client, run.node, run.vmId, Math.ceil(startTimeoutSeconds));
  await waitForTask(client, upid, { timeoutMs, signal });
  const { status, qmpstatus } = await lookAtVm(context, run);
  if (status !== "running") {
    throw new Error(
      `Unable to start VM ${run.vmId}: its start task ${upid} ended well, but its status is ${status} ` +
        `(${qmpstatus ?? "no QEMU status"}). See its console in Proxmox.`,
    );
  }
  return `task ${upid}`;
}

/** Waits for the agent's first answer and gives the kernel's boot id. */
async function waitForAgent(context: ProviderContext, { run, agentTimeoutSeconds }: GuestBootInputs): Promise<string> {
  const { client, signal, report } = context;
  let lastSeen = "nothing yet";
  const wait = { timeoutMs: agentTimeoutSeconds * 1000, signal, firstPauseMs: 250 };
  const end = performance.now() + wait.timeoutMs;
  const bootId = await pollUntil(wait, async (leftMs) => {
    try {
      await pingAgent(client, run, { signal, timeoutMs: lookMs(leftMs) });
      const { stdout, stderr } = await runInGuest(client, run, ["cat", BOOT_ID_FILE], {
        timeoutMs: Math.min(leftMs, 60_000),
        signal,
      });
      if (stdout.trim() !== "") return stdout.trim();
      lastSeen = `the agent answers, but the boot id can't be read (${stderr.trim()})`;
    } catch (error) {
      if (signal.aborted) throw error;
      if (!isSilence(error)) throw error;
      const { status } = await lookAtVm(context, run, Math.max(1, end - performance.now()));
      lastSeen = `VM ${status}; ${error instanceof PveError ? error.text : error.message}`;
      report("progress", `waiting for the guest agent: ${lastSeen}`);
      if (status !== "running") {
        throw new Error(
          `Unable to boot VM ${run.vmId}: it stopped by itself before its guest agent answered. See its console in Proxmox.`,
          { cause: error },
        );
      }
    }
    return undefined;
  });
  if (bootId === undefined) {
    throw new Error(
      `Unable to reach the guest agent of VM ${run.vmId} within ${agentTimeoutSeconds} s: last seen: ${lastSeen}. ` +
        "See the VM's console in Proxmox; if it only boots slowly, raise the time limit.",
    );
  }
  return bootId;
}

/** Whether an error only means that the guest has not answered yet. */
function isSilence(error: unknown): error is Error {
  return (
    error instanceof PveAgentUnavailable ||
    error instanceof GuestCommandTimeout ||
    error instanceof GuestAnswerLost ||
    isPassing(error)
  );
}

async function endPhase(
  { run }: GuestBootInputs,
  phase: "start" | "agent",
  status: StepStatus,
  detail: string,
): Promise<void> {
  await appendEvent(run, { type: "phase-ended", phase, status, detail });
}
