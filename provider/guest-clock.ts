/** What a wrong clock of the restored guest means: nothing for the measured times, but much for what runs in it. */
import { guestTime } from "../pve/nodes/agent";
import { nodeTime } from "../pve/nodes/node";
import { lookMs } from "../pve/wait";
import type { RunRef } from "./contract/run";
import type { ProviderContext } from "./definition";
import { messageOf } from "./text";

/** Difference from which on a clock is told to be wrong; the node tells whole seconds. */
const SLACK_SECONDS = 5;
const LOOK_MS = 15_000;

/**
 * What is worth knowing of the guest's clock, compared with the node's, which dates the archives. Nothing if they agree.
 *
 * @throws the signal's reason; nothing else: the clock decides nothing by itself.
 */
export async function clockFinding({ client, signal }: ProviderContext, run: RunRef): Promise<string | undefined> {
  const { node } = run;
  const options = { signal, timeoutMs: lookMs(LOOK_MS) };
  const begun = performance.now();
  try {
    const [guest, here] = await Promise.all([guestTime(client, run, options), nodeTime(client, node, options)]);
    const elapsedSeconds = (performance.now() - begun) / 1000;
    const offset = Math.round(guest - here);
    if (Math.abs(offset) <= SLACK_SECONDS + elapsedSeconds) return undefined;
    return (
      `The clock of the restored guest is ${Math.abs(offset)} s ${offset > 0 ? "ahead of" : "behind"} node ${node}'s: what runs ` +
      "in it goes by that, its certificates too; RTO, RPO and ages do not. " +
      "See timedatectl in the guest, and the VM's options localtime and startdate."
    );
  } catch (error) {
    signal.throwIfAborted();
    return `The clock of the restored guest was not compared with node ${node}'s: ${messageOf(error)}`;
  }
}
