/**
 * Parameter declarations of the emulated API: what a handler says about its parameters is what callers are held to, what
 * its code sees as types, and what the conformance test compares with the official schema.
 *
 * Checks and texts follow PVE::JSONSchema (`validate`, `check_prop`, `check_type`).
 */
import { ApiError } from "./errors";

/** The types that occur in PVE's schema. */
export type ParameterType = "string" | "integer" | "number" | "boolean" | "array";

/** A checked value: booleans are `true`/`false`, integers and numbers are numbers, arrays hold strings. */
export type ParameterValue = string | number | boolean | string[];

interface Constraints {
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  /** Returns what is wrong with the value, in PVE's words. */
  readonly format?: (value: string) => string | undefined;
}

/** One parameter. `T` is what the handler sees. */
export interface Parameter<T extends ParameterValue = ParameterValue, Optional extends boolean = boolean> {
  readonly type: ParameterType;
  readonly optional: Optional;
  readonly constraints: Constraints;
  /** Only for the type checker. */
  readonly value?: T;
}

/** Parameters by name. A name that ends with `[n]` stands for `name0`, `name1`, …, as in the official schema. */
export type ParameterMap = Readonly<Record<string, Parameter>>;

type ValueOf<P> = P extends Parameter<infer T> ? T : never;
type RequiredNames<M extends ParameterMap> = {
  [K in keyof M]: M[K] extends Parameter<ParameterValue, false> ? K : never;
}[keyof M];

/** The values of the parameters of a handler; indexed parameters (`net[n]`) are read from the call's `all`. */
export type Values<M extends ParameterMap> = { readonly [K in RequiredNames<M>]: ValueOf<M[K]> } & {
  readonly [K in Exclude<keyof M, RequiredNames<M>>]?: ValueOf<M[K]>;
};

export function string(constraints: Constraints = {}): Parameter<string, false> {
  return { type: "string", optional: false, constraints };
}
export function integer(minimum?: number, maximum?: number): Parameter<number, false> {
  return { type: "integer", optional: false, constraints: { minimum, maximum } };
}
export function number(minimum?: number, maximum?: number): Parameter<number, false> {
  return { type: "number", optional: false, constraints: { minimum, maximum } };
}
export function boolean(): Parameter<boolean, false> {
  return { type: "boolean", optional: false, constraints: {} };
}
export function array(): Parameter<string[], false> {
  return { type: "array", optional: false, constraints: {} };
}
export function oneOf<const E extends readonly string[]>(...values: E): Parameter<E[number], false> {
  return { type: "string", optional: false, constraints: { enum: values } };
}
export function optional<T extends ParameterValue>(parameter: Parameter<T>): Parameter<T, true> {
  return { type: parameter.type, optional: true, constraints: parameter.constraints };
}

/** Parameters that most paths have. */
export const nodeParameter = string({
  format: (text) =>
    /^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$/.test(text) ? undefined : "value does not look like a valid node name",
});
export const vmIdParameter = integer(100, 999999999);
export const storageParameter = string({
  format: (text) =>
    /^[a-z][a-z0-9\-_.]*[a-z0-9]$/i.test(text) ? undefined : `storage ID '${text}' contains illegal characters`,
});

/** What a client sent, before any check: query, form or JSON body flattened to texts. */
export type RawParameters = Readonly<Record<string, string | readonly string[]>>;

/** Splits PVE's list formats (`pve-vmid-list`, `pve-configid-list`): commas, semicolons, NUL or blanks. */
export function splitList(text: string): string[] {
  return text.split(/[,;\0\s]+/).filter((item) => item !== "");
}

/** The declaration that covers `name`, through an indexed one (`net[n]`) if needed. */
export function declarationOf(map: ParameterMap, name: string): Parameter | undefined {
  const exact = Object.hasOwn(map, name) ? map[name] : undefined;
  if (exact !== undefined) return exact;
  const indexed = /^([a-z]+)\d+$/.exec(name)?.[1];
  return indexed === undefined ? undefined : map[`${indexed}[n]`];
}

/**
 * Checks what a client sent against the declaration and converts it. All problems are reported at once, as PVE does.
 * @throws ApiError 400 with `errors` by parameter.
 */
export function checkParameters(map: ParameterMap, raw: RawParameters): Record<string, ParameterValue> {
  const values: Record<string, ParameterValue> = {};
  const errors: Record<string, string> = {};
  for (const [name, value] of Object.entries(raw)) {
    const declaration = declarationOf(map, name);
    if (declaration === undefined) {
      errors[name] = "property is not defined in schema and the schema does not allow additional properties";
      continue;
    }
    const checked = convert(declaration, value);
    if ("problem" in checked) errors[name] = checked.problem;
    else values[name] = checked.value;
  }
  for (const [name, declaration] of Object.entries(map)) {
    if (!declaration.optional && !Object.hasOwn(raw, name)) errors[name] = "property is missing and it is not optional";
  }
  if (Object.keys(errors).length > 0) throw new ApiError(400, "Parameter verification failed.", errors);
  return values;
}

function convert(
  { type, constraints }: Parameter,
  raw: string | readonly string[],
): { value: ParameterValue } | { problem: string } {
  if (type === "array") return { value: typeof raw === "string" ? [raw] : [...raw] };
  if (typeof raw !== "string") return { problem: `type check ('${type}') failed - got ARRAY` };
  switch (type) {
    case "boolean": {
      if (/^(1|on|yes|true)$/i.test(raw)) return { value: true };
      if (/^(0|off|no|false)$/i.test(raw)) return { value: false };
      return { problem: `type check ('boolean') failed - got '${raw}'` };
    }
    case "integer":
    case "number": {
      const wellFormed = type === "integer" ? /^[+-]?\d+$/ : /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
      const trimmed = raw.trim();
      if (!wellFormed.test(trimmed)) return { problem: `type check ('${type}') failed - got '${raw}'` };
      const value = Number(trimmed);
      const { minimum, maximum } = constraints;
      if (minimum !== undefined && value < minimum) return { problem: `value must have a minimum value of ${minimum}` };
      if (maximum !== undefined && value > maximum) return { problem: `value must have a maximum value of ${maximum}` };
      return { value };
    }
    case "string": {
      const { enum: allowed, maxLength, format } = constraints;
      if (allowed !== undefined && !allowed.includes(raw))
        return { problem: `value '${raw}' does not have a value in the enumeration '${allowed.join(", ")}'` };
      if (maxLength !== undefined && raw.length > maxLength)
        return { problem: `value may only be ${maxLength} characters long` };
      const problem = format?.(raw);
      return problem === undefined ? { value: raw } : { problem };
    }
    default:
      return type satisfies never;
  }
}
