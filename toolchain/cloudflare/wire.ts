/**
 * Property values as the engine sends them: plain JSON in which a secret is an object with a signature, and a value that
 * is not known yet is one of a few fixed strings (github.com/pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go).
 */

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
const UNKNOWNS: ReadonlySet<unknown> = new Set([
  "04da6b54-80e4-46f7-96ec-b56ff0331ba9", // text
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7", // bool
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421", // number
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2", // array
  "030794c1-ac77-496b-92df-f27374a8bd58", // asset
  "e48ece36-62e2-4504-bad9-02848725956a", // archive
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff", // object
]);

/** A property value without the engine's wrapping. */
export interface Plain {
  /** The value; undefined where nothing is known. */
  value: unknown;
  /** Whether the value, or any part of it, was marked secret. */
  secret: boolean;
  /** Whether the value, or any part of it, is known only after the update. */
  unknown: boolean;
}

/** Removes the wrapping of a value at any depth. */
export function unwrap(wire: unknown): Plain {
  if (UNKNOWNS.has(wire)) return { value: undefined, secret: false, unknown: true };
  if (Array.isArray(wire)) {
    const items = wire.map(unwrap);
    return { value: items.map((item) => item.value), ...marks(items) };
  }
  if (!isObject(wire)) return { value: wire ?? undefined, secret: false, unknown: false };
  if (wire[SIGNATURE] === SECRET) return { ...unwrap(wire["value"]), secret: true };
  if (wire[SIGNATURE] === OUTPUT) {
    const inner = unwrap(wire["value"]);
    return { ...inner, secret: inner.secret || wire["secret"] === true, unknown: inner.unknown || !("value" in wire) };
  }
  const entries = Object.entries(wire).map(([name, value]) => [name, unwrap(value)] as const);
  const known = entries
    .filter(([, item]) => item.value !== undefined)
    .map(([name, item]) => [name, item.value] as const);
  return { value: Object.fromEntries(known), ...marks(entries.map(([, item]) => item)) };
}

/** Unwraps each property of a resource; properties that the engine or a bridge keeps for itself ("__…") are left out. */
export function unwrapProperties(wire: unknown): Map<string, Plain> {
  const properties = new Map<string, Plain>();
  if (!isObject(wire)) return properties;
  for (const [name, value] of Object.entries(wire)) {
    const plain = unwrap(value);
    if (!name.startsWith("__") && (plain.unknown || plain.value !== undefined)) properties.set(name, plain);
  }
  return properties;
}

/** Marks a value secret, so that the engine encrypts it in the state and hides it in output. */
export function asSecret(value: unknown): unknown {
  return { [SIGNATURE]: SECRET, value };
}

/** Whether a value is an object with properties (not an array, not null). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function marks(items: readonly Plain[]): { secret: boolean; unknown: boolean } {
  return { secret: items.some((item) => item.secret), unknown: items.some((item) => item.unknown) };
}
