/** The error about a configuration: every problem with its file, key, value and accepted form. */
import { RunError } from "@pulumi/pulumi/errors";
import { printProblem, type Problem } from "../services/checks/problem-text";

/** Where a problem stands. */
export type ProblemSource = "project" | "stack" | "environment" | "unknown";

/** A problem with the place that it comes from; `path` begins with the key, with its namespace. */
export interface ConfigProblem extends Problem {
  readonly source: ProblemSource;
  /** Line in the file, from 1; absent: not known. */
  readonly line?: number;
}

/** The configuration of one stack, or of several with the same project file, can't be used. */
export class ConfigError extends RunError {
  constructor(
    readonly stackName: string,
    readonly problems: readonly ConfigProblem[],
    /** What was checked, `<namespace>:<key>` to text, without secrets. */
    readonly raw: Readonly<Record<string, string>>,
  ) {
    super(
      printProblems(
        [stackName],
        problems.map((problem) => printConfigProblem(stackName, problem)),
      ),
    );
  }
}

/** `Pulumi.prod.yaml:3: homelab:dns.zoneId: …` */
export function printConfigProblem(stack: string, problem: ConfigProblem): string {
  return `${placeOf(stack, problem)}${printProblem(problem)}`;
}

/** The whole message. Lines that several stacks have in common stand there once. */
export function printProblems(stacks: readonly string[], lines: readonly string[]): string {
  const each = [...new Set(lines)];
  const count = each.length === 1 ? "1 problem" : `${each.length} problems`;
  const whose = stacks.length === 1 ? "stack" : "stacks";
  const list = each.map((line) => `- ${line}`).join("\n");
  return `Unable to use the configuration of ${whose} ${stacks.join(", ")}: ${count}.\n${list}`;
}

/** By place: project file, stack file, environment; in a file by line where it is known, else in the order found. */
export function byPlace(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const order: readonly ProblemSource[] = ["project", "stack", "unknown", "environment"];
  return problems.toSorted(
    (a, b) => order.indexOf(a.source) - order.indexOf(b.source) || (a.line ?? 0) - (b.line ?? 0),
  );
}

function placeOf(stack: string, { source, line }: ConfigProblem): string {
  const at = line === undefined ? "" : `:${line}`;
  switch (source) {
    case "project":
      return `Pulumi.yaml${at}: `;
    case "stack":
      return `Pulumi.${stack}.yaml${at}: `;
    case "environment":
      return "environment: ";
    case "unknown":
      return "";
  }
}
