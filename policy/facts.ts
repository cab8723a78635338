/** What the operator has set, as the rules need it. */
import { z } from "zod";
import {
  backupSchema,
  consentSchema,
  dockerVmSchema,
  drillSchema,
  privilegedContainersSchema,
} from "../stacks/config-schema";
import type { Consent } from "../stacks/consent";

/** A value that must stand nowhere readable. */
export interface SecretFact {
  /** Where it is set, for messages. */
  readonly source: string;
  /** Secret. */
  readonly value: string;
}

/** Absent facts are those that the stack's kind does not have. */
export interface StackFacts {
  readonly stack: string;
  /** Kind of the stack: prod, drill, restore. */
  readonly kind: string;
  readonly now: Date;
  readonly dockerVm: z.infer<typeof dockerVmSchema>;
  /** Storage that holds the archives. */
  readonly backupStorage: string;
  readonly backup?: z.infer<typeof backupSchema>;
  readonly drill?: z.infer<typeof drillSchema>;
  readonly consents: readonly Consent[];
  /** Containers that may have power over the machine, and why. */
  readonly privileged: readonly { readonly container: string; readonly reason: string }[];
  readonly secrets: readonly SecretFact[];
}

/** The configuration of a stack, as the engine hands it over: decrypted. */
export interface StackConfiguration {
  readonly stack: string;
  /** `<namespace>:<key>` to text, structured values as JSON. */
  readonly values: Readonly<Record<string, string>>;
  /** Keys whose values are encrypted in the stack file. */
  readonly secretKeys: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly now: Date;
}

/** Variables that hold credentials. */
const SECRET_VARIABLES = [
  "PROXMOX_VE_API_TOKEN",
  "PROXMOX_VE_PASSWORD",
  "CLOUDFLARE_API_TOKEN",
  "PULUMI_CONFIG_PASSPHRASE",
  "PULUMI_ACCESS_TOKEN",
];

/**
 * The facts of a stack. Pure. Throws where they can't be read, because a rule without its facts must not pass. What exactly is
 * wrong in the files says the program itself, with file and line.
 */
export function factsOf(configuration: StackConfiguration): StackFacts {
  const { stack, values, now } = configuration;
  const read = <T>(key: string, schema: z.ZodType<T>): T => {
    const text = values[`homelab:${key}`];
    const parsed = schema.safeParse(text === undefined ? undefined : fromJson(text));
    if (parsed.success) return parsed.data;
    throw new Error(
      `Unable to judge stack ${stack} by the homelab's policies: homelab:${key} is not usable. ` +
        `Correct what pulumi preview -s ${stack} says without PULUMI_OPTION_POLICY_PACK.`,
    );
  };
  return {
    stack,
    kind: read("kind", z.string()),
    now,
    dockerVm: read("dockerVm", dockerVmSchema),
    backupStorage: read("backupStorage", z.string()),
    ...(values["homelab:backup"] === undefined ? {} : { backup: read("backup", backupSchema) }),
    ...(values["homelab:drill"] === undefined ? {} : { drill: read("drill", drillSchema) }),
    consents: read("consent", consentSchema),
    privileged: read("privilegedContainers", privilegedContainersSchema),
    secrets: secretsOf(configuration),
  };
}

function secretsOf({ values, secretKeys, environment }: StackConfiguration): SecretFact[] {
  const configured = secretKeys.map((key) => ({ source: key, value: values[key] ?? "" }));
  const variables = SECRET_VARIABLES.map((name) => ({ source: name, value: environment[name] ?? "" }));
  return [...configured, ...variables].filter(({ value }) => value !== "");
}

/** Plain texts come as they are, all else as JSON. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
