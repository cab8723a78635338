/** The configuration of a stack from the texts of its files, without Pulumi. Needs `yaml`; the program does without. */
import { LineCounter, parseDocument } from "yaml";
import { parseConfig, type ConfigContext, type StackConfig } from "./config";
import { placeProblems, type ConfigTexts } from "./config-places";
import { byPlace, ConfigError, printConfigProblem, printProblems, type ConfigProblem } from "./config-problems";
import { readRawConfig, type RawConfig } from "./raw-config";

/** Reads `Pulumi.yaml` and `Pulumi.<stack>.yaml`. Throws one `ConfigError` with every problem of their YAML. */
export function readConfigTexts(stack: string, texts: ConfigTexts): RawConfig {
  const project = readYaml(texts.project ?? "", "project");
  const own = readYaml(texts.stack ?? "", "stack");
  const problems = [...project.problems, ...own.problems];
  if (problems.length > 0) throw new ConfigError(stack, byPlace(problems), {});
  return readRawConfig(project.content, own.content);
}

/** As `parseConfig`, with the file and line of each problem. */
export function parseConfigTexts(
  raw: Readonly<Record<string, string>>,
  texts: ConfigTexts,
  context: ConfigContext,
): StackConfig {
  try {
    return parseConfig(raw, context);
  } catch (error) {
    throw error instanceof ConfigError ? placeProblems(error, texts) : error;
  }
}

/** One message about the stacks of one project. What the project's file has wrong stands there once. */
export function printConfigErrors(errors: readonly ConfigError[]): string {
  const lines = errors.flatMap(({ stackName, problems }) =>
    problems.map((problem) => printConfigProblem(stackName, problem)),
  );
  return printProblems(
    errors.map(({ stackName }) => stackName),
    lines,
  );
}

function readYaml(text: string, source: "project" | "stack"): { content: unknown; problems: ConfigProblem[] } {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const problem = (offset: number, cause: string): ConfigProblem => {
    const { line } = lineCounter.linePos(offset);
    return { source, line, path: [], text: `${cause.replace(/\.+$/, "")}. Correct the YAML.` };
  };
  const problems = document.errors.map(({ pos: [offset], message }) => problem(offset, message));
  if (problems.length > 0) return { content: {}, problems };
  const content = (document.toJS() as unknown) ?? {};
  const config = isRecord(content) ? (content["config"] ?? {}) : undefined;
  if (!isRecord(content) || !isRecord(config)) {
    return { content: {}, problems: [problem(0, "config does not consist of keys and values")] };
  }
  return { content: { ...content, config }, problems: [] };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
