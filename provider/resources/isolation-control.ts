/** `homelab:drill:IsolationControl`: what a restored VM must not reach, asked from the source VM, which does reach it. */
import {
  isolationControlInputsSchema,
  type IsolationControlInputs,
  type IsolationControlOutputs,
  type Observation,
  type ProbeTarget,
} from "../contract/isolation";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "../definition";
import { observationsOf, probeCommand } from "../isolation/observe";
import { findTargets } from "../isolation/targets";
import { appendEvent } from "../journal";
import { connectToKnownHost, quote } from "../ssh";
import { messageOf, shorten } from "../text";
import { DRILL_TOKENS } from "../tokens";

/** A VM that is lost must not hold up the drill for longer than a restore takes at least. */
const CONNECT_MS = 15_000;
const COMMAND_MS = 30_000;

export const isolationControl: ResourceDefinition<IsolationControlInputs, IsolationControlOutputs> = {
  token: DRILL_TOKENS.isolationControl,
  description: "What a restored VM must not reach, and whether the source VM does reach it.",
  inputs: isolationControlInputsSchema,
  computed: { targets: "array", observations: "array" },
  replaceOn: "all",
  refusesSecrets: true,

  async create(context, inputs) {
    const { run } = inputs;
    const id = `${run.runId}/isolation-control`;
    const { targets, gaps } = await findTargets(context.client, inputs);
    const findings = [...gaps];
    let observations: Observation[] = [];
    try {
      observations = await askSourceVm(context, inputs, targets);
      context.report("progress", `${observations.length} controls asked on ${inputs.ssh.address}`);
    } catch (error) {
      if (context.signal.aborted) {
        const message = "Unable to ask for the controls: the update was cancelled. Run pulumi destroy.";
        throw new HalfMade(message, id, { ...inputs, targets, observations });
      }
      findings.push(
        `No positive control: what the restored VM asks was not asked on VM ${inputs.sourceVmId}, so that its silence proves ` +
          `less (${messageOf(error)})`,
      );
    }
    for (const text of findings) {
      context.report("warning", text);
      await appendEvent(run, { type: "finding", text });
    }
    return { id, outputs: { ...inputs, targets, observations } };
  },
};

/** Runs the probes where they are answered. Reads only. */
async function askSourceVm(
  { signal }: ProviderContext,
  { ssh }: IsolationControlInputs,
  targets: readonly ProbeTarget[],
): Promise<Observation[]> {
  const limit = AbortSignal.timeout(CONNECT_MS);
  const opening = connectToKnownHost(ssh, AbortSignal.any([signal, limit])).catch((error: unknown) => {
    if (!limit.aborted || signal.aborted) throw error;
    const text = `Unable to connect to ${ssh.user}@${ssh.address} by SSH: no answer within ${CONNECT_MS / 1000} s.`;
    throw new Error(text, { cause: error });
  });
  await using connection = await opening;
  const command = probeCommand(targets, 0).map(quote).join(" ");
  const { stdout, stderr } = await connection.run(command, { timeoutMs: COMMAND_MS, signal });
  try {
    return observationsOf(stdout, targets);
  } catch (error) {
    throw new Error(`${messageOf(error)}${stderr === "" ? "" : `; ${shorten(stderr)}`}`, { cause: error });
  }
}
