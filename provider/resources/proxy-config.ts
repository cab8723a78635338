/** `homelab:prod:ProxyConfig`: the Caddyfile of the running proxy, loaded without replacing the container. */
import { runInContainer } from "../containers-by-ssh";
import { proxyConfigInputsSchema, type ProxyConfigInputs } from "../contract/production";
import type { ProviderContext, ResourceDefinition } from "../definition";
import { PROD_TOKENS } from "../tokens";

const FILE = "/etc/caddy/Caddyfile";

/** Exit codes of the script, so that the failed step is known. */
const REFUSED = 41;
const NOT_LOADED = 42;

/**
 * Writes beside, asks Caddy, takes the name, loads. A file that Caddy refuses never takes the name; one that can't be loaded
 * gives the name back to the old one.
 */
const SCRIPT = `
set -eu
cat > ${FILE}.new
caddy validate --adapter caddyfile --config ${FILE}.new >&2 || { rm -f ${FILE}.new; exit ${REFUSED}; }
if [ -e ${FILE} ]; then cp ${FILE} ${FILE}.old; fi
mv ${FILE}.new ${FILE}
caddy reload --adapter caddyfile --config ${FILE} >&2 || {
  if [ -e ${FILE}.old ]; then mv ${FILE}.old ${FILE}; fi
  exit ${NOT_LOADED}
}
rm -f ${FILE}.old
`;

export const proxyConfig: ResourceDefinition<ProxyConfigInputs, ProxyConfigInputs> = {
  token: PROD_TOKENS.proxyConfig,
  description: "The running proxy's Caddyfile, validated by Caddy and loaded without replacing the container.",
  inputs: proxyConfigInputsSchema,
  computed: {},
  replaceOn: ["container"],

  async create(context, inputs) {
    return { id: inputs.container, outputs: await load(context, inputs) };
  },

  async read({ signal }, outputs) {
    const { exitCode, stdout } = await runInContainer(
      { ...outputs, timeoutSeconds: READ_SECONDS },
      `cat ${FILE}`,
      signal,
    );
    return exitCode === 0 ? { ...outputs, caddyfile: stdout } : undefined;
  },

  async update(context, inputs) {
    return load(context, inputs);
  },
};

const READ_SECONDS = 30;

async function load({ signal }: ProviderContext, inputs: ProxyConfigInputs): Promise<ProxyConfigInputs> {
  const { exitCode, stderr } = await runInContainer(inputs, SCRIPT, signal, {
    input: inputs.caddyfile,
    // Caddy's admin endpoint comes up a moment after its container.
    isDone: (result) => result.exitCode !== NOT_LOADED || !/connection refused/i.test(result.stderr),
  });
  switch (exitCode) {
    case 0:
      return inputs;
    case REFUSED:
      throw new Error(
        `Unable to use the property caddyfile for ${inputs.container}: Caddy refuses it: ${lastLines(stderr)}. ` +
          "Correct the routes; the old configuration still serves.",
      );
    default:
      throw new Error(
        `Unable to load the Caddyfile into ${inputs.container}: ${lastLines(stderr) || `exit code ${exitCode}`}. ` +
          "The old configuration still serves; see docker logs on the VM.",
      );
  }
}

/** Caddy logs to the same stream; its error comes last. */
function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join("; ");
}
