/** What a stack with an empty state would make, as `pulumi preview --json` tells it (CLI 3.259). */
import { z } from "zod";
import { CliError } from "../errors";

/** Stands in a preview for a value that is not known yet. Source: pulumi sdk/go/common/resource/plugin, UnknownStringValue. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const inputsSchema = z.record(z.string(), z.unknown());
export type Inputs = Readonly<Record<string, unknown>>;

/** Fields beside these are taken over into the state as they are. */
const resourceSchema = z.looseObject({
  urn: z.string(),
  /** False for components. */
  custom: z.boolean(),
  type: z.string(),
  inputs: inputsSchema.optional(),
  parent: z.string().optional(),
  /** `<urn>::<id>`; the id is unknown in a preview. */
  provider: z.string().optional(),
  dependencies: z.array(z.string()).optional(),
  propertyDependencies: z.record(z.string(), z.array(z.string()).nullable()).optional(),
});
export type PlannedResource = z.infer<typeof resourceSchema>;

const stepSchema = z.object({
  op: z.string(),
  urn: z.string(),
  diffReasons: z.array(z.string()).nullish(),
  replaceReasons: z.array(z.string()).nullish(),
  newState: resourceSchema.optional(),
});
export type PlannedStep = z.infer<typeof stepSchema>;

const previewSchema = z.object({ steps: z.array(stepSchema) });

/** Steps of a preview, in an order in which each resource comes after what it needs. */
export function parsePreview(text: string): PlannedStep[] {
  try {
    return previewSchema.parse(JSON.parse(text)).steps;
  } catch (error) {
    throw new CliError(
      "Unable to read what pulumi preview --json wrote: it is not of the form that Pulumi 3.259 writes. " +
        "Use a Pulumi CLI of the version that this project names.",
      { cause: error },
    );
  }
}

/** The resources that a preview of an empty stack would make. */
export function resourcesOf(steps: readonly PlannedStep[]): PlannedResource[] {
  return steps.flatMap(({ op, newState }) => (op === "create" && newState !== undefined ? [newState] : []));
}

/** Logical name of a resource. */
export function nameOf({ urn }: { readonly urn: string }): string {
  return urn.split("::").at(-1) ?? urn;
}

/** `VM docker-vm`, `record dns-miniflux`: how people read a resource. */
export function labelOf({ urn }: { readonly urn: string }): string {
  const type = urn.split("::")[2]?.split("$").at(-1) ?? "";
  return `${type.split(":").at(-1) ?? type} ${nameOf({ urn })}`;
}

/** A text among the inputs; refuses a plan that does not say it. */
export function textInput({ urn, inputs }: PlannedResource, key: string): string {
  const value = inputs?.[key];
  if ((typeof value === "string" && value !== UNKNOWN) || typeof value === "number") return String(value);
  throw new CliError(
    `Unable to adopt ${labelOf({ urn })}: the preview does not tell its ${key}. Look at pulumi preview --diff.`,
  );
}
