/** The first connection to a new VM, and its host keys through the guest agent, which an impostor in the network can't fake. */
import { PveAgentUnavailable, PveConnectionError } from "../../pve/errors";
import { GuestAnswerLost, GuestCommandTimeout, pingAgent, runInGuest } from "../../pve/nodes/agent";
import { pollUntil } from "../../pve/wait";
import type { ReadinessInputs } from "../contract/production";
import type { ProviderContext } from "../definition";
import { parsePublicKeys } from "../known-hosts";
import { connect, type SshConnection, SshConnectionError } from "../ssh";
import { messageOf } from "../text";
import type { Deadline } from "./deadline";

/** Waits no longer than this for one answer of the agent. */
const AGENT_MS = 30_000;
/** After the packages are in place the agent must answer within this time. */
const AGENT_AFTER_SETUP_MS = 120_000;

/** Host keys that the agent reports now; none while it does not answer or the keys are not made yet. */
export async function hostKeysFromAgent(
  { client, signal }: ProviderContext,
  { node, vmId }: ReadinessInputs,
  deadline: Deadline,
): Promise<string[]> {
  const target = { node, vmId };
  const timeoutMs = Math.min(AGENT_MS, deadline.leftMs());
  try {
    await pingAgent(client, target, { signal, timeoutMs });
    const command = ["sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub"];
    const { stdout, stderr } = await runInGuest(client, target, command, { timeoutMs, signal });
    const keys = parsePublicKeys(stdout);
    if (keys.length === 0) deadline.saw(`the guest agent answers, but there is no SSH host key yet (${stderr.trim()})`);
    return keys;
  } catch (error) {
    signal.throwIfAborted();
    const isSilence =
      error instanceof PveAgentUnavailable ||
      error instanceof PveConnectionError ||
      error instanceof GuestCommandTimeout ||
      error instanceof GuestAnswerLost;
    if (!isSilence) throw error;
    deadline.saw(`guest agent: ${"text" in error ? error.text : error.message}`);
    return [];
  }
}

/** Waits for the agent's keys after the set-up, when the agent has to be there. */
export async function waitForHostKeys(
  context: ProviderContext,
  inputs: ReadinessInputs,
  deadline: Deadline,
): Promise<string[]> {
  const wait = { timeoutMs: Math.min(AGENT_AFTER_SETUP_MS, deadline.leftMs()), signal: context.signal };
  const keys = await pollUntil(wait, async () => {
    const found = await hostKeysFromAgent(context, inputs, deadline);
    return found.length > 0 ? found : undefined;
  });
  if (keys === undefined) throw deadline.timedOut("the guest agent, without which the host key can't be proved");
  return keys;
}

/**
 * Connects as soon as the VM lets us in. Keys that the agent reported are required; without an agent, which stock images lack,
 * the first key is taken for the time of the set-up and proved afterwards.
 */
export async function firstContact(
  context: ProviderContext,
  inputs: ReadinessInputs,
  deadline: Deadline,
  known: readonly string[],
): Promise<SshConnection> {
  let expected = known;
  const wait = { timeoutMs: deadline.leftMs(), signal: context.signal, firstPauseMs: 1000, longestPauseMs: 3000 };
  const connection = await pollUntil(wait, async () => {
    try {
      return await connect(inputs.ssh, (key) => expected.length === 0 || expected.includes(key), context.signal);
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof SshConnectionError)) throw error;
      deadline.saw(messageOf(error));
      // First boots make new host keys, and the agent may have come up meanwhile.
      const reported = await hostKeysFromAgent(context, inputs, deadline);
      if (reported.length > 0) expected = reported;
      deadline.saw(messageOf(error));
      return undefined;
    }
  });
  if (connection === undefined) throw deadline.timedOut("SSH");
  return connection;
}
