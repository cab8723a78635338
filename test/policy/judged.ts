/** The committed stacks as the policies see them, and what the policies say of them after an edit. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { parse } from "yaml";
import { factsOf, type StackFacts } from "../../policy/facts";
import type { PolicyResource, PolicyValue } from "../../policy/resource";
import { RULES } from "../../policy/rules";
import { readRawConfig } from "../../stacks/raw-config";
import type { RecordedResource } from "../stacks/graph";

const ROOT = path.resolve(__dirname, "../..");
export const NOW = new Date("2026-11-21T12:00:00Z");

/** Rule, resource and text of a violation. */
export type Verdict = readonly [rule: string, resource: string, message: string];

/** The resources of a stack by its golden graph. Inputs are JSON, so they are values as the policies know them. */
export function committedResources(stack: "prod" | "drill"): PolicyResource[] {
  const file = path.join(ROOT, "test/stacks/golden", `${stack}.json`);
  const graph = JSON.parse(readFileSync(file, "utf8")) as (RecordedResource & {
    inputs: Record<string, PolicyValue>;
  })[];
  return graph.map(({ type, name, protect, inputs }) => ({
    urn: `urn:pulumi:${stack}::homelab::${type}::${name}`,
    type,
    name,
    parent: "",
    protect: protect === true,
    properties: inputs,
    clearTexts: textsIn(inputs, ""),
  }));
}

/** The facts of a committed stack. */
export function committedFacts(stack: "prod" | "drill", values: Readonly<Record<string, unknown>> = {}): StackFacts {
  const read = (file: string): unknown => parse(readFileSync(path.join(ROOT, file), "utf8"));
  const { raw } = readRawConfig(read("Pulumi.yaml"), read(`Pulumi.${stack}.yaml`));
  const more = Object.entries(values).map(([key, value]) => [`homelab:${key}`, JSON.stringify(value)] as const);
  return factsOf({
    stack,
    values: { ...raw, "homelab:postgresPassword": "correct horse", ...Object.fromEntries(more) },
    secretKeys: stack === "prod" ? ["homelab:postgresPassword"] : [],
    environment: { CLOUDFLARE_API_TOKEN: "planted-cloudflare-token" },
    now: NOW,
  });
}

/** Everything that all rules say. */
export function judge(resources: readonly PolicyResource[], facts: StackFacts): Verdict[] {
  const nameOf = (urn: string | undefined): string => resources.find((resource) => resource.urn === urn)?.name ?? "";
  return RULES.flatMap((rule) => [
    ...resources.flatMap((resource) =>
      (rule.resource?.(resource, facts) ?? []).map((message) => [rule.name, resource.name, message] as const),
    ),
    ...(rule.stack?.(resources, facts) ?? []).map(({ urn, message }) => [rule.name, nameOf(urn), message] as const),
  ]).filter(([rule]) => rule !== "downloads-pinned");
}

/** The same resources with another one under this name; throws where there is none of the type. */
export function changed(
  resources: readonly PolicyResource[],
  name: string,
  type: RegExp,
  change: Partial<Omit<PolicyResource, "properties">> & { readonly properties?: Record<string, PolicyValue> },
): PolicyResource[] {
  const found = resources.find((resource) => resource.name === name && type.test(resource.type));
  if (found === undefined) throw new Error(`The stack has no ${name} of type ${String(type)}.`);
  const properties = { ...found.properties, ...change.properties };
  const next = { ...found, ...change, properties, clearTexts: textsIn(properties, "") };
  return resources.map((resource) => (resource === found ? next : resource));
}

function textsIn(value: unknown, place: string): { path: string; text: string }[] {
  if (typeof value === "string") return [{ path: place, text: value }];
  if (Array.isArray(value)) return value.flatMap((item: unknown, index) => textsIn(item, `${place}[${index}]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => textsIn(item, place === "" ? key : `${place}.${key}`));
}
