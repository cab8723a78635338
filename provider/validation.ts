/** Validation of inputs in which values may still be unknown: all problems at once, by property. */
import type { z } from "zod";
import { type Decoded, UNKNOWN, unknownPaths } from "./wire";

/** A problem with one property. */
export interface PropertyFailure {
  /** Path such as `checks[0].query`. */
  readonly property: string;
  readonly reason: string;
}

/** Valid inputs, or what is wrong with them; neither when everything known is fine but something is unknown. */
export interface Validation<I> {
  readonly inputs: I | undefined;
  readonly failures: PropertyFailure[];
}

/** Checks inputs against a schema. Problems at, above or below an unknown value are no problems yet. */
export function validateInputs<I>(schema: z.ZodType<I>, { values }: Decoded): Validation<I> {
  const unknowns = unknownPaths(values);
  const result = schema.safeParse(values);
  if (result.success) return { inputs: unknowns.length === 0 ? result.data : undefined, failures: [] };
  const failures = result.error.issues
    .filter((issue) => !unknowns.some((path) => isRelated(path, issue.path)))
    .map((issue) => ({ property: printPath(issue.path), reason: describe(issue, valueAt(values, issue.path)) }));
  return { inputs: undefined, failures };
}

/** Reads outputs or inputs that must be complete. Throws with every problem. */
export function requireComplete<I>(schema: z.ZodType<I>, decoded: Decoded, what: string): I {
  const result = schema.safeParse(decoded.values);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${printPath(issue.path)}: ${issue.message}`);
  throw new Error(
    `Unable to use ${what}: ${problems.join("; ")}. If the state was made by another version, destroy with that version first.`,
  );
}

/** Reads what is needed of a recorded state, whichever version recorded it. */
export function readRecorded<T>(
  schema: z.ZodType<T>,
  recorded: Readonly<Record<string, unknown>>,
  { action, advice }: { readonly action: string; readonly advice: string },
): T {
  const result = schema.safeParse(recorded);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${printPath(issue.path)}: ${issue.message}`);
  throw new Error(`Unable to ${action}: its recorded state lacks what is needed (${problems.join("; ")}). ${advice}`);
}

function isRelated(left: readonly PropertyKey[], right: readonly PropertyKey[]): boolean {
  const length = Math.min(left.length, right.length);
  return left.slice(0, length).every((key, index) => String(key) === String(right[index]));
}

function printPath(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => (typeof key === "number" ? `[${key}]` : `${index === 0 ? "" : "."}${String(key)}`))
    .join("");
}

function describe(issue: z.core.$ZodIssue, value: unknown): string {
  const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  return isPlain ? `${issue.message}, not ${JSON.stringify(value)}` : issue.message;
}

function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  let value = values;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value === UNKNOWN ? undefined : value;
}
