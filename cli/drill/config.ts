/** The stack file of a drill: read, and copied with another restore point. The committed file is never written. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, parseDocument } from "yaml";
import { loadCatalogue } from "../../services/catalogue";
import { type DrillConfig, parseConfig } from "../../stacks/config";
import { readRawConfig } from "../../stacks/raw-config";
import { CliError, causeOf, hasCode } from "../errors";

async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    const cause = hasCode(error, "ENOENT") ? "there is no such file" : causeOf(error);
    throw new CliError(`Unable to read ${file}: ${cause}. Run this in a clone of the project.`, { cause: error });
  });
}

/** Reads and checks the stack file of one drill and nothing else: a drill must work when production's file is broken. */
export async function readDrillConfig(projectDir: string, stack: string): Promise<DrillConfig> {
  const file = join(projectDir, `Pulumi.${stack}.yaml`);
  const [project, text] = await Promise.all([readText(join(projectDir, "Pulumi.yaml")), readText(file)]);
  const { raw, secretKeys } = readRawConfig(parse(project), parse(text) ?? {});
  if (raw["homelab:kind"] !== "drill") {
    throw new CliError(
      `Unable to use stack "${stack}": homelab:kind in ${file} is ${raw["homelab:kind"] ?? "missing"}. ` +
        "Name a stack whose homelab:kind is drill, with --stack.",
    );
  }
  const catalogue = loadCatalogue(join(projectDir, "services"));
  const config = parseConfig(raw, { stack, projectDir, secretKeys, catalogue });
  if (config.kind !== "drill") throw new CliError(`Unable to use stack "${stack}": it is no drill stack.`);
  return config;
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
