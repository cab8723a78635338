/** What a rule is given: a resource as the program declares it, and where its values are not protected. */

/** In place of a value that only the update will bring. */
export const UNKNOWN = Symbol("known after the update");

/** A property's value. Secrets are unwrapped; what of them is in clear stands in `clearTexts`. */
export type PolicyValue =
  null | boolean | number | string | typeof UNKNOWN | readonly PolicyValue[] | { readonly [name: string]: PolicyValue };

/** A text that stands readable in state and previews, and its place, such as `envs[1]`. */
export interface ClearText {
  readonly path: string;
  readonly text: string;
}

export interface PolicyResource {
  readonly urn: string;
  /** Pulumi's type token. */
  readonly type: string;
  readonly name: string;
  /** URN; empty for the stack itself. */
  readonly parent: string;
  /** Whether the engine refuses to replace or delete it. */
  readonly protect: boolean;
  readonly properties: { readonly [name: string]: PolicyValue };
  readonly clearTexts: readonly ClearText[];
}

/** The value at a way of names and indices; undefined where there is none. */
export function at(resource: PolicyResource, ...path: readonly (string | number)[]): PolicyValue | undefined {
  let value: PolicyValue | undefined = resource.properties;
  for (const step of path) {
    if (typeof step === "number") value = isList(value) ? value[step] : undefined;
    else value = isRecord(value) ? value[step] : undefined;
  }
  return value;
}

/** The items of a list; empty where there is none. */
export function items(value: PolicyValue | undefined): readonly PolicyValue[] {
  return isList(value) ? value : [];
}

/** One field of an object. */
export function field(value: PolicyValue | undefined, name: string): PolicyValue | undefined {
  return isRecord(value) ? value[name] : undefined;
}

/** A value on a message's line. */
export function shown(value: PolicyValue | undefined): string {
  if (value === UNKNOWN) return "known only after the update";
  return value === undefined ? "missing" : JSON.stringify(value);
}

function isList(value: PolicyValue | undefined): value is readonly PolicyValue[] {
  return Array.isArray(value);
}

function isRecord(value: PolicyValue | undefined): value is { readonly [name: string]: PolicyValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
