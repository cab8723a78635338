/** The stack file of a drill: read, and copied with another restore point. The committed file is never written. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { loadCatalogue } from "../../services/catalogue";
import type { DrillConfig, StackConfig } from "../../stacks/config";
import { parseConfigTexts, readConfigTexts } from "../../stacks/config-files";
import { ConfigError, type ConfigProblem } from "../../stacks/config-problems";
import { CliError, causeOf, hasCode } from "../errors";

async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    const cause = hasCode(error, "ENOENT") ? "there is no such file" : causeOf(error);
    throw new CliError(`Unable to read ${file}: ${cause}. Run this in a clone of the project.`, { cause: error });
  });
}

/**
 * Reads and checks the stack file of one drill and nothing else: a drill must work when production's file is broken. What the
 * environment lacks is in the same message; without `environment` it is not judged.
 *
 * @throws ConfigError with every problem, each with its file and line; CliError for a file or stack that is none of a drill
 */
export async function readDrillConfig(
  projectDir: string,
  stack: string,
  environment?: NodeJS.ProcessEnv,
): Promise<DrillConfig> {
  const file = join(projectDir, `Pulumi.${stack}.yaml`);
  const [project, text] = await Promise.all([readText(join(projectDir, "Pulumi.yaml")), readText(file)]);
  const texts = { project, stack: text };
  const { raw, secretKeys } = readConfigTexts(stack, texts);
  if (raw["homelab:kind"] !== "drill") {
    throw new CliError(
      `Unable to use stack "${stack}": homelab:kind in ${file} is ${raw["homelab:kind"] ?? "missing"}. ` +
        "Name a stack whose homelab:kind is drill, with --stack.",
    );
  }
  const catalogue = loadCatalogue(join(projectDir, "services"));
  const context = { stack, projectDir, secretKeys, catalogue, ...(environment === undefined ? {} : { environment }) };
  const missing = environment === undefined ? [] : passphraseProblems(text, environment);
  let config: StackConfig;
  try {
    config = parseConfigTexts(raw, texts, context);
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(stack, [...error.problems, ...missing], raw) : error;
  }
  if (missing.length > 0) throw new ConfigError(stack, missing, raw);
  if (config.kind !== "drill") throw new CliError(`Unable to use stack "${stack}": it is no drill stack.`);
  return config;
}

/** Pulumi keeps the salt of a passphrase in the stack's file; stacks with another secrets provider need none. */
function passphraseProblems(stackText: string, environment: NodeJS.ProcessEnv): ConfigProblem[] {
  if (!parseDocument(stackText).has("encryptionsalt")) return [];
  // An empty passphrase is one, as in Pulumi.
  if (environment["PULUMI_CONFIG_PASSPHRASE"] !== undefined) return [];
  if ((environment["PULUMI_CONFIG_PASSPHRASE_FILE"] ?? "") !== "") return [];
  const text =
    "missing. Expected: the passphrase of the stack's secrets, or a file with it in PULUMI_CONFIG_PASSPHRASE_FILE.";
  return [{ source: "environment", path: ["PULUMI_CONFIG_PASSPHRASE"], text }];
}

/** A copy of the stack file that names the archive; removed when it is disposed of. */
export async function copyNaming(
  projectDir: string,
  stack: string,
  archive: string,
): Promise<AsyncDisposable & { readonly file: string }> {
  const document = parseDocument(await readText(join(projectDir, `Pulumi.${stack}.yaml`)));
  document.setIn(["config", "homelab:drill", "restorePoint"], document.createNode({ choose: "named", archive }));
  const dir = await mkdtemp(join(tmpdir(), "homelab-drill-"));
  const file = join(dir, `Pulumi.${stack}.yaml`);
  await writeFile(file, document.toString({ lineWidth: 0 }));
  await chmod(file, 0o600);
  return { file, [Symbol.asyncDispose]: async () => rm(dir, { recursive: true, force: true }) };
}
