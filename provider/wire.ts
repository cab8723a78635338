/**
 * The one place that knows how Pulumi writes secrets, outputs and unknown values into property bags.
 *
 * The Node.js provider server hands over `check`, `diff`, `create`, `read`, `update` and `delete` values as they came, so secrets
 * arrive as signature objects and unknown values as a fixed text. Source: `@pulumi/pulumi` `provider/server.ts`, `runtime/rpc.ts`.
 */

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
const RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e";

/** Unknown string, boolean, number, array, asset, archive, object. Source: pulumi `sdk/go/common/resource/plugin/rpc.go`. */
const UNKNOWNS: ReadonlySet<unknown> = new Set([
  "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

/** Stands for a value that is not known yet, in previews. */
export const UNKNOWN = Symbol("unknown");

/** Property bag without Pulumi's wrappings. */
export interface Decoded {
  /** Plain values; `UNKNOWN` where a value is not known, nulls left out of objects. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Top-level properties that are secret or contain a secret. */
  readonly secrets: ReadonlySet<string>;
}

/** Takes Pulumi's wrappings off. Keys that Pulumi keeps for itself (`__defaults`) are dropped. */
export function decodeProperties(properties: unknown): Decoded {
  const secrets = new Set<string>();
  const values: Record<string, unknown> = {};
  for (const [key, wrapped] of Object.entries(asObject(properties))) {
    if (key.startsWith("__")) continue;
    const value = decodeValue(wrapped, () => secrets.add(key));
    if (value !== undefined) values[key] = value;
  }
  return { values, secrets };
}

function decodeValue(value: unknown, onSecret: () => void): unknown {
  if (UNKNOWNS.has(value)) return UNKNOWN;
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value)) return value.map((item: unknown) => decodeValue(item, onSecret));
  if (typeof value !== "object") return value;
  const record = asObject(value);
  switch (record[SIGNATURE]) {
    case undefined:
      break;
    case SECRET:
      onSecret();
      return decodeValue(record["value"], onSecret);
    case OUTPUT:
      if (record["secret"] === true) onSecret();
      return "value" in record ? decodeValue(record["value"], onSecret) : UNKNOWN;
    case RESOURCE:
      return record["id"] === undefined ? record["urn"] : decodeValue(record["id"], onSecret);
    default:
      throw new Error("Unable to read a resource's properties: assets and archives are no input of this provider.");
  }
  const entries = Object.entries(record).flatMap(([key, item]): [string, unknown][] => {
    const decoded = decodeValue(item, onSecret);
    return decoded === undefined ? [] : [[key, decoded]];
  });
  return Object.fromEntries(entries);
}

/**
 * Writes plain outputs for Pulumi. What was secret as an input stays secret; what was computed with the help of a secret
 * becomes one.
 */
export function encodeOutputs(
  outputs: Readonly<Record<string, unknown>>,
  inputs: Decoded,
): Readonly<Record<string, unknown>> {
  const entries = Object.entries(outputs).flatMap(([key, value]): [string, unknown][] => {
    if (value === undefined) return [];
    const plain: unknown = JSON.parse(JSON.stringify(value));
    const isComputed = !(key in inputs.values);
    const isSecret = inputs.secrets.has(key) || (isComputed && inputs.secrets.size > 0);
    return [[key, isSecret ? { [SIGNATURE]: SECRET, value: plain } : plain]];
  });
  return Object.fromEntries(entries);
}

/** Whether a value is unknown or contains something unknown. */
export function containsUnknown(value: unknown): boolean {
  if (value === UNKNOWN) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(containsUnknown);
}

/** Paths of all unknown values. */
export function unknownPaths(value: unknown, path: readonly PropertyKey[] = []): (readonly PropertyKey[])[] {
  if (value === UNKNOWN) return [path];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    unknownPaths(item, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
