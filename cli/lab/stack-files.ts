/** The operator's committed stack files, read without Pulumi. */
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseDocument, type Document } from "yaml";
import { loadCatalogue, secretKeys } from "../../services/catalogue";
import type { ProdConfig, StackConfig } from "../../stacks/config";
import type { ServiceSpec } from "../../services/spec";
import { parseConfigTexts, printConfigErrors, readConfigTexts } from "../../stacks/config-files";
import { ConfigError } from "../../stacks/config-problems";
import { CliError, causeOf, hasCode } from "../errors";

/** The project as it is committed. */
export interface StackFiles {
  /** Text of `Pulumi.yaml`. */
  readonly project: string;
  /** Checked configuration of each stack by its name. */
  readonly stacks: Readonly<Record<string, StackConfig>>;
  /** Texts of the stack files by stack name. */
  readonly texts: Readonly<Record<string, string>>;
  /** Names of the stack that is production, and its configuration. */
  readonly prod: { readonly name: string; readonly config: ProdConfig };
  /** Secrets that a production stack needs. */
  readonly secretKeys: readonly string[];
  readonly catalogue: readonly ServiceSpec[];
  /** Images that the catalogue's containers are made from, each once. */
  readonly images: readonly string[];
}

const KEYS_OF_ENCRYPTION = ["encryptionsalt", "encryptedkey", "secretsprovider"];

/**
 * Reads and checks the stack file of one production stack and nothing else: a mistake in a drill's file must not keep
 * anyone from a backup. Secret values are not looked at.
 */
export async function readProdConfig(projectDir: string, stack: string): Promise<ProdConfig> {
  const file = join(projectDir, `Pulumi.${stack}.yaml`);
  const [project, text] = await Promise.all([readProject(projectDir), readText(file)]);
  const catalogue = loadCatalogue(join(projectDir, "services"));
  const needed = secretKeys(catalogue);
  const texts = { project, stack: text };
  const { raw } = readConfigTexts(stack, texts);
  if (raw["homelab:kind"] !== "prod") {
    throw new CliError(
      `Unable to use stack "${stack}": homelab:kind in ${file} is ${raw["homelab:kind"] ?? "missing"}. ` +
        "Name a stack whose homelab:kind is prod, with --stack.",
    );
  }
  for (const key of needed) raw[`homelab:${key}`] = "";
  const config = parseConfigTexts(raw, texts, { stack, projectDir, secretKeys: new Set(needed), catalogue });
  if (config.kind !== "prod") throw new CliError(`Unable to use stack "${stack}": it is no production stack.`);
  return config;
}

function readProject(projectDir: string): Promise<string> {
  return readText(join(projectDir, "Pulumi.yaml"));
}

async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    const cause = hasCode(error, "ENOENT") ? "there is no such file" : causeOf(error);
    throw new CliError(`Unable to read ${file}: ${cause}. Run this in a clone of the project.`, { cause: error });
  });
}

/** Reads and checks all stack files of a clone. Throws one error that names every problem of every stack. */
export async function readStackFiles(repoDir: string): Promise<StackFiles> {
  const project = await readProject(repoDir);
  const catalogue = loadCatalogue(join(repoDir, "services"));
  const needed = secretKeys(catalogue);
  const stacks: Record<string, StackConfig> = {};
  const texts: Record<string, string> = {};
  const errors: ConfigError[] = [];
  for (const file of (await readdir(repoDir)).sort()) {
    const stack = /^Pulumi\.([\w-]+)\.yaml$/.exec(file)?.[1];
    if (stack === undefined) continue;
    const text = await readFile(join(repoDir, file), "utf8");
    const both = { project, stack: text };
    try {
      const { raw } = readConfigTexts(stack, both);
      // Secrets are generated for the lab, whether or not the operator has set theirs.
      if (raw["homelab:kind"] === "prod") for (const key of needed) raw[`homelab:${key}`] = "";
      const context = { stack, projectDir: repoDir, secretKeys: new Set(needed), catalogue };
      stacks[stack] = parseConfigTexts(raw, both, context);
      texts[stack] = text;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new CliError(printConfigErrors(errors));
  const prods = Object.entries(stacks).flatMap(([name, config]) => (config.kind === "prod" ? [{ name, config }] : []));
  const [prod, ...others] = prods;
  if (prod === undefined || others.length > 0) {
    const names = prods.map(({ name }) => name).join(", ");
    throw new CliError(
      `Unable to tell which stack is production: ${prod === undefined ? "no" : "more than one"} stack file has ` +
        `homelab:kind prod${names === "" ? "" : ` (${names})`}. Keep exactly one, such as Pulumi.prod.yaml.`,
    );
  }
  const images = [...new Set(catalogue.map(({ image }) => image))];
  return { project, stacks, texts, prod, secretKeys: needed, catalogue, images };
}

/** A stack file's text with keys replaced, and without the operator's encryption and secrets. Comments stay. */
export function applyOverlay(text: string, values: Readonly<Record<string, unknown>>): string {
  const document: Document = parseDocument(text);
  if (document.contents === null) document.contents = document.createNode({});
  for (const key of KEYS_OF_ENCRYPTION) document.delete(key);
  const config = (document.toJS() as { config?: Record<string, unknown> }).config ?? {};
  if (document.get("config") === undefined || document.get("config") === null) {
    document.set("config", document.createNode({}));
  }
  for (const [key, value] of Object.entries(config)) {
    if (typeof value === "object" && value !== null && "secure" in value) document.deleteIn(["config", key]);
  }
  for (const [key, value] of Object.entries(values)) {
    document.setIn(["config", `homelab:${key}`], document.createNode(value));
  }
  return document.toString({ lineWidth: 0 });
}
