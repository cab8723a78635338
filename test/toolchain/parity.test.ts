/**
 * The types that the stacks compile against (npm) and the plugins that run must be the same. Proven here for every
 * resource type of {@link USED_RESOURCES}: names, kinds and requiredness of all inputs and outputs, at any depth. Not
 * proven: that the plugins behave as the vendor's; the lab tests show that they work.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { promisify } from "node:util";

import * as ts from "typescript";

import { ensureToolchain, originOf, type Toolchain } from "../../toolchain/ensure";
import { USED_RESOURCES } from "../../toolchain/used-resources";
import { PLUGINS } from "../../toolchain/versions";
import { NpmShapes } from "./npm-shapes";
import { type PackageSchema, pluginShape } from "./plugin-shapes";
import { differences } from "./shapes";

/** What differs in plugins that were built here; a line that is no longer true fails the test too. */
const KNOWN_DIFFERENCES: Readonly<Record<string, readonly string[]>> = {};

const root = path.join(__dirname, "..", "..");

describe.each(PLUGINS)("plugin $name $version", (plugin) => {
  let schema: PackageSchema;
  let version: string;
  let isBuilt: boolean;
  beforeAll(async () => {
    const toolchain = await ensureToolchain({ log: (line) => process.stderr.write(`${line}\n`), what: ["pulumi"] });
    isBuilt = (await originOf(toolchain)).plugins[plugin.name] === "built";
    const binary = pluginFile(toolchain, plugin.name, plugin.version);
    schema = JSON.parse(
      await output(path.join(toolchain.binDir, "pulumi"), ["package", "get-schema", binary]),
    ) as PackageSchema;
    // Bridged plugins tell their version by themselves, without a "v" in front.
    version = schema.version ?? (await output(binary, ["--version"])).trim();
  }, 1_500_000);

  it("is the version of its npm package", () => {
    const file = path.join(root, "node_modules", plugin.npm, "package.json");
    const npm = (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
    expect({ npm, running: version }).toEqual({ npm: plugin.version, running: plugin.version });
  });

  it.each(USED_RESOURCES[plugin.name])("has the types of the npm package for %s", (token) => {
    const npm = new NpmShapes(plugin.npm).resource(token);
    const running = pluginShape(schema, token);
    const found = [
      ...differences(`${token} inputs`, npm.inputs, running.inputs),
      ...differences(`${token} outputs`, npm.outputs, running.outputs),
    ];
    const known = isBuilt ? (KNOWN_DIFFERENCES[token] ?? []) : [];
    expect(found).toEqual(known.map((line) => `${token} ${line}`));
  });
});

it("lists every resource that the components make", () => {
  const used = ["components", "stacks"].flatMap((folder) => resourcesMadeIn(path.join(root, folder)));
  expect(used.length).toBeGreaterThan(0);
  const listed: readonly string[] = Object.values(USED_RESOURCES).flat();
  expect(used.filter((token) => !listed.includes(token))).toEqual([]);
});

function pluginFile(toolchain: Toolchain, name: string, version: string): string {
  const folder = path.join(toolchain.pulumiPluginsHome, "plugins", `resource-${name}-v${version}`);
  return path.join(folder, `pulumi-resource-${name}`);
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const env = { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "1" };
  return (await promisify(execFile)(program, args, { maxBuffer: 64 * 1024 * 1024, env })).stdout;
}

/** Tokens of `new docker.Container(…)` and the like, for the packages that have a plugin. */
function resourcesMadeIn(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  return files.flatMap((file) => {
    const source = ts.createSourceFile(
      file,
      readFileSync(path.join(folder, file), "utf8"),
      ts.ScriptTarget.ES2022,
      true,
    );
    const packages = importedPlugins(source);
    const tokens: string[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isNewExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
        const [alias = "", ...words] = node.expression.getText().split(".");
        const name = packages.get(alias);
        if (name !== undefined) tokens.push(token(name, words));
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
    return tokens;
  });
}

function importedPlugins(source: ts.SourceFile): Map<string, string> {
  const found = new Map<string, string>();
  for (const statement of source.statements) {
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) continue;
    const npm = statement.moduleSpecifier.text;
    const plugin = PLUGINS.find((pin) => pin.npm === npm || npm.startsWith(`${pin.npm}/`));
    if (plugin === undefined) continue;
    const bindings = statement.importClause?.namedBindings;
    if (npm.includes("/types")) continue;
    if (npm !== plugin.npm || bindings === undefined || !ts.isNamespaceImport(bindings)) {
      throw new Error(`Unable to find the resources of ${source.fileName}: import ${plugin.npm} as a namespace.`);
    }
    found.set(bindings.name.text, plugin.name);
  }
  return found;
}

function token(plugin: string, words: readonly string[]): string {
  const name = words.at(-1) ?? "";
  if (name === "Provider") return `pulumi:providers:${plugin}`;
  const module = words.length > 1 ? words.slice(0, -1).join("/") : "index";
  return `${plugin}:${module}/${name.charAt(0).toLowerCase()}${name.slice(1)}:${name}`;
}
