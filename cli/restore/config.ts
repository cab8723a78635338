/** The stack file of the emergency: read, and copied with the stated outage. The committed file is never written. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDocument, Scalar } from "yaml";
import { loadCatalogue } from "../../services/catalogue";
import type { RestoreConfig } from "../../stacks/config";
import { parseConfigTexts, readConfigTexts } from "../../stacks/config-files";
import { CliError, causeOf, hasCode } from "../errors";

async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    const cause = hasCode(error, "ENOENT") ? "there is no such file" : causeOf(error);
    throw new CliError(`Unable to read ${file}: ${cause}. Run this in a clone of the project.`, { cause: error });
  });
}

/** Reads and checks the stack file of the emergency and nothing else. */
export async function readRestoreConfig(projectDir: string, stack: string): Promise<RestoreConfig> {
  const file = join(projectDir, `Pulumi.${stack}.yaml`);
  const [project, text] = await Promise.all([readText(join(projectDir, "Pulumi.yaml")), readText(file)]);
  const texts = { project, stack: text };
  const { raw } = readConfigTexts(stack, texts);
  const catalogue = loadCatalogue(join(projectDir, "services"));
  const context = { stack, projectDir, secretKeys: new Set<string>(), catalogue };
  const config = raw["homelab:kind"] === "restore" ? parseConfigTexts(raw, texts, context) : undefined;
  if (config?.kind === "restore") return config;
  throw new CliError(
    `Unable to use stack "${stack}": homelab:kind in ${file} is ${raw["homelab:kind"] ?? "missing"}. ` +
      "Name a stack whose homelab:kind is restore, with --stack.",
  );
}

/** A copy of the stack file that states the outage; removed when it is disposed of. */
export async function copyWithOutage(
  projectDir: string,
  stack: string,
  outageAt: string,
): Promise<AsyncDisposable & { readonly file: string }> {
  const document = parseDocument(await readText(join(projectDir, `Pulumi.${stack}.yaml`)));
  const time = document.createNode(outageAt) as Scalar;
  // Without quotes Pulumi's YAML makes a date of it.
  time.type = Scalar.QUOTE_DOUBLE;
  const place = ["config", "homelab:restore"];
  if (document.getIn(place) === null) document.deleteIn(place);
  document.setIn([...place, "outageAt"], time);
  const dir = await mkdtemp(join(tmpdir(), "homelab-restore-"));
  const file = join(dir, `Pulumi.${stack}.yaml`);
  await writeFile(file, document.toString({ lineWidth: 0 }), { mode: 0o600 });
  return { file, [Symbol.asyncDispose]: async () => rm(dir, { recursive: true, force: true }) };
}
