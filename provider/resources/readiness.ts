/** `homelab:prod:Readiness`: the Docker VM answers by SSH with the key its agent reported, and its engine runs. */
import { readinessInputsSchema, type ReadinessInputs, type ReadinessOutputs } from "../contract/production";
import type { ProviderContext, ResourceDefinition } from "../definition";
import { expandHome } from "../files";
import { knownHostKeys, knownHostName, writeKnownHosts } from "../known-hosts";
import { Deadline } from "../readiness/deadline";
import { engineVersionOf, finishFirstBoot, joinDockerGroup, provide } from "../readiness/guest-setup";
import { firstContact, hostKeysFromAgent, waitForHostKeys } from "../readiness/first-contact";
import { connect } from "../ssh";
import { PROD_TOKENS } from "../tokens";

export const readiness: ResourceDefinition<ReadinessInputs, ReadinessOutputs> = {
  token: PROD_TOKENS.readiness,
  description: "The Docker VM is usable: SSH with a proven host key, first boot done, Docker engine running.",
  inputs: readinessInputsSchema,
  computed: { hostKeys: "array", engineVersion: "string" },
  replaceOn: ["node", "vmId"],

  async hasDrifted(outputs) {
    return restoreKnownHosts(outputs);
  },

  async create(context, inputs) {
    return { id: `${inputs.node}/${inputs.vmId}`, outputs: await makeReady(context, inputs) };
  },

  async read(_context, outputs) {
    await restoreKnownHosts(outputs);
    return outputs;
  },

  async update(context, inputs) {
    return makeReady(context, inputs);
  },
};

/**
 * The known-hosts file is no part of the repository: on another machine it is written again from the state, silently. Gives
 * whether the file has other keys than the state, which calls for a new proof.
 */
async function restoreKnownHosts({ ssh, hostKeys }: ReadinessOutputs): Promise<boolean> {
  const file = expandHome(ssh.knownHostsFile);
  const known = await knownHostKeys(file, knownHostName(ssh));
  if (known.length === 0) {
    await writeKnownHosts(file, knownHostName(ssh), hostKeys);
    return false;
  }
  return known.join("\n") !== [...hostKeys].sort().join("\n");
}

async function makeReady(context: ProviderContext, inputs: ReadinessInputs): Promise<ReadinessOutputs> {
  const deadline = new Deadline(inputs, context);
  const { hostKey } = await prepare(context, inputs, deadline);
  const hostKeys = await waitForHostKeys(context, inputs, deadline);
  if (!hostKeys.includes(hostKey)) {
    throw new Error(
      `Unable to trust ${inputs.ssh.address}: by SSH it showed the host key ${hostKey}, but the guest agent of VM ` +
        `${inputs.vmId} reports ${hostKeys.join(", ")}. Another machine answers at this address: find it before going on.`,
    );
  }
  await writeKnownHosts(expandHome(inputs.ssh.knownHostsFile), knownHostName(inputs.ssh), hostKeys);
  await using connection = await connect(inputs.ssh, (key) => hostKeys.includes(key), context.signal);
  const engineVersion = await engineVersionOf(connection, deadline);
  return { ...inputs, hostKeys, engineVersion };
}

/** First boot, packages, group. Gives the host key that was met, to be compared with the agent's. */
async function prepare(
  context: ProviderContext,
  inputs: ReadinessInputs,
  deadline: Deadline,
): Promise<{ hostKey: string }> {
  const known = await hostKeysFromAgent(context, inputs, deadline);
  await using connection = await firstContact(context, inputs, deadline, known);
  await finishFirstBoot(connection, deadline);
  await provide(connection, inputs.packages, deadline);
  await joinDockerGroup(connection, inputs.ssh.user, deadline);
  return { hostKey: connection.hostKey };
}
