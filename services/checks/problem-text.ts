/** Turns what zod found into text for people: place, value, accepted form. Shared by catalogue and stack configuration. */
import type { z } from "zod";

/** One thing that is wrong: where, and what is accepted there. */
export interface Problem {
  /** Way from the root of the checked value; empty: the value as a whole. */
  readonly path: readonly PropertyKey[];
  /** Value and accepted form, as a sentence that follows the place. */
  readonly text: string;
}

/** What one issue says, one problem for each place that it names. */
export function problemsOf(issue: z.core.$ZodIssue, root: unknown): Problem[] {
  if (issue.code === "custom") return [{ path: issue.path, text: issue.message }];
  if (issue.code === "unrecognized_keys") {
    const text = "unknown. Remove it or correct the spelling.";
    return issue.keys.map((key) => ({ path: [...issue.path, key], text }));
  }
  const value = valueAt(root, issue.path);
  const text =
    value === undefined
      ? `missing. Expected: ${acceptedForm(issue)}.`
      : `${shown(value)} is not accepted. Expected: ${acceptedForm(issue)}.`;
  return [{ path: issue.path, text }];
}

/** A problem on one line. */
export function printProblem({ path, text }: Problem): string {
  return path.length === 0 ? text : `${formatPath(path)}: ${text}`;
}

/** A value short enough for a line. What is long is often something pasted in the wrong place, such as a key. */
function shown(value: unknown): string {
  if (typeof value !== "string") return cut(JSON.stringify(value));
  const [firstLine = ""] = value.split("\n");
  return JSON.stringify(firstLine === value ? cut(value) : `${cut(firstLine)}…`);
}

function cut(text: string): string {
  return text.length > 60 ? `${text.slice(0, 40)}…` : text;
}

/** zod's own texts ("Invalid input: …", "Too small: …") are replaced; texts of ours say the form already. */
function acceptedForm(issue: z.core.$ZodIssue): string {
  const isOurs = !/^(Invalid|Too) /.test(issue.message);
  if (issue.code === "invalid_value") return isOurs ? issue.message : issue.values.map(String).join(" or ");
  if (isOurs) return issue.message;
  if (issue.code === "invalid_type") return withArticle(issue.expected);
  if (issue.code === "too_small") return `at least ${issue.minimum}`;
  if (issue.code === "too_big") return `at most ${issue.maximum}`;
  return "one of the documented forms";
}

function withArticle(type: string): string {
  if (type === "int") return "a whole number";
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

/** `ports[0].hostPort` */
export function formatPath(segments: readonly PropertyKey[]): string {
  return segments
    .map((segment) => (typeof segment === "number" ? `[${segment}]` : `.${String(segment)}`))
    .join("")
    .replace(/^\./, "");
}

/** The value at a place, or undefined. */
export function valueAt(root: unknown, segments: readonly PropertyKey[]): unknown {
  let value = root;
  for (const segment of segments) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[segment];
  }
  return value;
}
