/** The state of a stack that has lost it, written from the plan and from what lives. Pure. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { CliError } from "../errors";
import { type Inputs, labelOf, type PlannedResource, UNKNOWN } from "./plan";

/** A living thing that a planned resource stands for. */
export interface Located {
  /** Its id as the provider writes it into the state. */
  readonly id: string;
  /** What it is really made from, where the provider does not read that back; default: the plan's inputs. */
  readonly inputs?: Inputs;
  /** What the provider must know beside the inputs to read the rest. */
  readonly outputs?: Inputs;
  /** Names of inputs that are secret; they are encrypted in the state. */
  readonly secret?: readonly string[];
}

/** Version and download place of a provider package, as its npm package states them. */
export interface ProviderPackage {
  readonly version: string;
  readonly server?: string;
}

export interface StateArgs {
  readonly plan: readonly PlannedResource[];
  /** By URN; what is not here is made by the next update. */
  readonly located: ReadonlyMap<string, Located>;
  /** By the provider's name, such as `proxmoxve`. */
  readonly packages: Readonly<Record<string, ProviderPackage>>;
}

/** What `pulumi stack export` writes. */
export const exportSchema = z.looseObject({
  version: z.number(),
  deployment: z.looseObject({ resources: z.array(z.unknown()).optional() }),
});
export type ExportedStack = z.infer<typeof exportSchema>;

/**
 * Marks of Pulumi's wire format. Source: pulumi sdk/go/common/resource/sig, SecretSig. A plain value in this form is
 * encrypted by `pulumi stack import`.
 */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/**
 * Schema versions of the Terraform resources behind Pulumi's: a state without them would be taken for one of version 0 and
 * migrated. Source: kreuzwerker/terraform-provider-docker, `SchemaVersion` in internal/provider/resource_docker_*.go.
 */
const SCHEMA_VERSIONS: Readonly<Record<string, string>> = {
  "docker:index/container:Container": "2",
  "docker:index/network:Network": "1",
  "docker:index/volume:Volume": "1",
};

/**
 * Resources of the state: stack, components, providers and what was located. Outputs are only what the inputs say; the
 * refresh that must follow reads the rest.
 */
export function stateResources({ plan, located, packages }: StateArgs): Inputs[] {
  const custom = plan.filter(({ urn }) => located.has(urn));
  const explicit = plan.filter(({ type }) => type.startsWith("pulumi:providers:"));
  const defaults = new Set(custom.map(providerUrn).filter((urn) => explicit.every((given) => given.urn !== urn)));
  const ids = new Map([...defaults, ...explicit.map(({ urn }) => urn)].map((urn) => [urn, randomUUID()]));
  const kept = new Set([
    ...plan.filter(({ custom: isCustom }) => !isCustom).map(({ urn }) => urn),
    ...ids.keys(),
    ...located.keys(),
  ]);
  const resources = plan.flatMap((planned): Inputs[] => {
    const found = located.get(planned.urn);
    if (!planned.custom) return [planned];
    if (found !== undefined) return [locatedState(planned, found, kept, ids)];
    const id = ids.get(planned.urn);
    return id === undefined ? [] : [{ ...planned, id, outputs: withoutInternals(planned.inputs ?? {}) }];
  });
  const defaultProviders = [...defaults].map((urn) => defaultProvider(urn, ids.get(urn) ?? "", packages));
  // The stack itself is the first of the plan and every other's ancestor.
  return [...resources.slice(0, 1), ...defaultProviders, ...resources.slice(1)];
}

function locatedState(
  planned: PlannedResource,
  { id, inputs: real, outputs, secret = [] }: Located,
  kept: ReadonlySet<string>,
  ids: ReadonlyMap<string, string>,
): Inputs {
  const plain = real ?? planned.inputs ?? {};
  const unknown = Object.keys(plain).filter((key) => JSON.stringify(plain[key]).includes(UNKNOWN));
  if (unknown.length > 0) {
    throw new CliError(
      `Unable to adopt ${labelOf(planned)}: the preview does not tell its ${unknown.join(", ")}. ` +
        "Look at pulumi preview --diff.",
    );
  }
  const version = SCHEMA_VERSIONS[planned.type];
  const provider = providerUrn(planned);
  const { dependencies = [], propertyDependencies = {}, ...rest } = planned;
  return {
    ...rest,
    id,
    inputs: sealed(plain, secret),
    outputs: {
      ...sealed(withoutInternals(plain), secret),
      ...outputs,
      ...(version === undefined ? {} : { __meta: JSON.stringify({ schema_version: version }) }),
    },
    provider: `${provider}::${ids.get(provider) ?? ""}`,
    dependencies: dependencies.filter((urn) => kept.has(urn)),
    propertyDependencies: Object.fromEntries(
      Object.entries(propertyDependencies).map(([key, urns]) => [key, (urns ?? []).filter((urn) => kept.has(urn))]),
    ),
  };
}

function providerUrn({ urn, provider }: PlannedResource): string {
  const end = provider?.lastIndexOf("::") ?? -1;
  if (provider === undefined || end < 0) {
    throw new CliError(
      `Unable to adopt ${labelOf({ urn })}: the preview names no provider. Look at pulumi preview --diff.`,
    );
  }
  return provider.slice(0, end);
}

/** As the engine makes it for resources that name no provider of their own. */
function defaultProvider(urn: string, id: string, packages: StateArgs["packages"]): Inputs {
  const type = urn.split("::")[2] ?? "";
  const known = packages[type.split(":").at(-1) ?? ""];
  if (known === undefined) {
    throw new CliError(
      `Unable to adopt what ${type} has made: its npm package is not known. Extend cli/adopt/packages.ts.`,
    );
  }
  const internal = known.server === undefined ? {} : { pluginDownloadURL: known.server };
  return {
    urn,
    custom: true,
    id,
    type,
    inputs: { __internal: internal, version: known.version },
    outputs: { version: known.version },
  };
}

function sealed(values: Inputs, secret: readonly string[]): Inputs {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      secret.includes(key) ? { [SIGNATURE]: SECRET, plaintext: JSON.stringify(value) } : value,
    ]),
  );
}

/** `__defaults` and `__internal` are notes of the engine and the bridge in inputs only. */
function withoutInternals(values: Inputs): Inputs {
  return strip(values) as Inputs;
}

function strip(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) =>
      key === "__defaults" || key === "__internal" ? [] : [[key, strip(item)]],
    ),
  );
}
