/** Finds the lines of configuration problems in the files. Loaded only when there is a problem. */
import { isDeepStrictEqual } from "node:util";
import { isMap, isNode, isScalar, isSeq, LineCounter, type Pair, parseDocument } from "yaml";
import { byPlace, ConfigError, type ConfigProblem } from "./config-problems";
import { readRawConfig } from "./raw-config";

/** The texts of `Pulumi.yaml` and `Pulumi.<stack>.yaml`; absent: there is no such file. */
export interface ConfigTexts {
  readonly project?: string | undefined;
  readonly stack?: string | undefined;
}

/**
 * The same error with the file and line of each problem. A value that stands in neither file (`--config-file` names
 * another one) keeps its key as its only place.
 */
export function placeProblems(error: ConfigError, texts: ConfigTexts): ConfigError {
  const project = new ConfigFile(texts.project ?? "");
  const stack = new ConfigFile(texts.stack ?? "");
  const { raw } = readRawConfig(project.content, stack.content);
  const place = (problem: ConfigProblem): ConfigProblem => {
    if (problem.source === "environment") return problem;
    const [key = "", ...rest] = problem.path.map((part) => (typeof part === "symbol" ? String(part) : part));
    const given = error.raw[String(key)];
    if (given === undefined) return problem;
    if (!isSame(given, raw[String(key)])) return { ...problem, source: "unknown" };
    const found = stack.lineOf(String(key), rest, false);
    if (found !== undefined) return { ...problem, source: "stack", line: found };
    const line = project.lineOf(String(key), rest, true);
    return line === undefined ? problem : { ...problem, source: "project", line };
  };
  return new ConfigError(error.stackName, byPlace(error.problems.map(place)), error.raw);
}

/** Pulumi sorts the keys of structured values. */
function isSame(given: string, inFile: string | undefined): boolean {
  if (given === inFile) return true;
  try {
    return isDeepStrictEqual(JSON.parse(given), JSON.parse(inFile ?? ""));
  } catch {
    return false; // at least one is plain text, and they differ
  }
}

class ConfigFile {
  private readonly lines = new LineCounter();
  private readonly document;
  readonly content: unknown;

  constructor(text: string) {
    this.document = parseDocument(text, { lineCounter: this.lines });
    this.content = this.document.errors.length === 0 ? ((this.document.toJS() as unknown) ?? {}) : {};
  }

  /** Line of a key, or of the nearest one above it that is there; undefined when the top key is not. */
  lineOf(key: string, path: readonly (string | number)[], isProject: boolean): number | undefined {
    const config = this.document.get("config");
    const top = pairOf(config, key) ?? pairOf(config, key.replace(/^homelab:/, ""));
    if (top === undefined) return undefined;
    let at: unknown = top.key;
    let value: unknown = top.value;
    if (isProject) value = pairOf(value, "value")?.value ?? pairOf(value, "default")?.value ?? value;
    for (const part of path) {
      if (isSeq(value) && typeof part === "number") {
        value = value.items[part];
        at = value ?? at;
        continue;
      }
      const pair = pairOf(value, String(part));
      if (pair === undefined) break;
      at = pair.key;
      value = pair.value;
    }
    return isNode(at) && at.range ? this.lines.linePos(at.range[0]).line : undefined;
  }
}

function pairOf(node: unknown, key: string): Pair | undefined {
  if (!isMap(node)) return undefined;
  return node.items.find((pair) => isScalar(pair.key) && pair.key.value === key);
}
