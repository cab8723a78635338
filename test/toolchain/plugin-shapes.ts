import { named, type Properties, type ResourceShape, type Shape } from "./shapes";

/** A type in a Pulumi package schema (https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/). */
interface TypeSpec {
  type?: string;
  $ref?: string;
  items?: TypeSpec;
  additionalProperties?: TypeSpec;
  oneOf?: TypeSpec[];
}

interface ObjectSpec {
  properties?: Record<string, TypeSpec>;
  required?: string[];
  language?: { nodejs?: { requiredOutputs?: string[] } };
}

interface ResourceSpec extends ObjectSpec {
  inputProperties?: Record<string, TypeSpec>;
  requiredInputs?: string[];
}

/** The parts of a Pulumi package schema that are compared. */
export interface PackageSchema {
  version?: string;
  provider: ResourceSpec;
  resources: Record<string, ResourceSpec>;
  types?: Record<string, ObjectSpec>;
}

/** The shape of a resource type or a provider as the plugin's schema tells it. */
export function pluginShape(schema: PackageSchema, token: string): ResourceShape {
  const isProvider = token.startsWith("pulumi:providers:");
  const resource = isProvider ? schema.provider : schema.resources[token];
  if (resource === undefined) throw new Error(`Unable to compare ${token}: the running plugin has no such resource.`);
  const inputs = properties(schema, resource.inputProperties, resource.requiredInputs, "input");
  return { inputs, outputs: isProvider ? {} : properties(schema, resource.properties, resource.required, "output") };
}

type Direction = "input" | "output";

function properties(
  schema: PackageSchema,
  specs: Record<string, TypeSpec> = {},
  required: readonly string[] = [],
  direction: Direction,
): Properties {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      named(name, !required.includes(name)),
      shape(schema, spec, direction),
    ]),
  );
}

function shape(schema: PackageSchema, spec: TypeSpec, direction: Direction): Shape {
  if (spec.$ref?.startsWith("#/types/")) {
    const type = schema.types?.[decodeURIComponent(spec.$ref.slice("#/types/".length))];
    if (type === undefined) throw new Error(`Unable to compare ${spec.$ref}: the schema doesn't have the type.`);
    const outputs = type.language?.nodejs?.requiredOutputs;
    const required = direction === "output" && outputs !== undefined ? outputs : type.required;
    return { object: properties(schema, type.properties, required, direction) };
  }
  if (spec.items !== undefined) return { list: shape(schema, spec.items, direction) };
  if (spec.additionalProperties !== undefined) return { map: shape(schema, spec.additionalProperties, direction) };
  if (spec.type === "integer" || spec.type === "number") return "number";
  if (spec.type === "string" || spec.type === "boolean") return spec.type;
  return "any";
}
