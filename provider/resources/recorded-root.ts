/** `homelab:prod:RecordedRoot`: the proxy's public root certificate in a file, for drills to verify against. */
import { X509Certificate } from "node:crypto";
import { isAbsolute } from "node:path";
import { runInContainer } from "../containers-by-ssh";
import { recordedRootInputsSchema, type RecordedRootInputs, type RecordedRootOutputs } from "../contract/production";
import type { ProviderContext, ResourceDefinition } from "../definition";
import { readFileIfThere, writeFileAtomically } from "../files";
import { quote } from "../ssh";
import { messageOf, shorten } from "../text";
import { PROD_TOKENS } from "../tokens";

/** The file stays when the resource is deleted: a drill needs it when production is gone. */
export const recordedRoot: ResourceDefinition<RecordedRootInputs, RecordedRootOutputs> = {
  token: PROD_TOKENS.recordedRoot,
  description: "The proxy's public root certificate in a file of the repository.",
  inputs: recordedRootInputsSchema,
  computed: { fingerprint: "string" },
  replaceOn: [],

  async check(_context, { file }) {
    return isAbsolute(file) ? [] : [{ property: "file", reason: `must be an absolute path, not "${file}"` }];
  },

  async hasDrifted({ file, fingerprint }) {
    const text = await readFileIfThere(file);
    return text === undefined || fingerprintOf(text) !== fingerprint;
  },

  async create(context, inputs) {
    return { id: inputs.file, outputs: await record(context, inputs) };
  },

  async update(context, inputs) {
    return record(context, inputs);
  },
};

async function record({ signal }: ProviderContext, inputs: RecordedRootInputs): Promise<RecordedRootOutputs> {
  const { container, certificatePath, file } = inputs;
  const result = await runInContainer(inputs, `cat ${quote(certificatePath)}`, signal, {
    // Caddy makes its authority when the first site needs it.
    isDone: ({ exitCode }) => exitCode === 0,
  });
  if (result.exitCode !== 0) {
    throw new Error(
      `Unable to read ${certificatePath} in ${container}: ${shorten(result.stderr)}. ` +
        "Caddy makes it with its first site that uses tls internal; see docker logs on the VM.",
    );
  }
  const fingerprint = fingerprintOf(result.stdout);
  if (fingerprint === undefined) {
    throw new Error(`Unable to use ${certificatePath} in ${container}: it is no PEM certificate. Correct the path.`);
  }
  await writeFileAtomically(file, result.stdout);
  return { ...inputs, fingerprint };
}

/** SHA-256 of a PEM certificate in hex; undefined if the text is none. */
export function fingerprintOf(pem: string): string | undefined {
  try {
    return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
  } catch (error) {
    if (/PEM|asn1|certificate/i.test(messageOf(error))) return undefined;
    throw error;
  }
}
