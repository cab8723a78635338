/** Pulumi's entry point: reads the configuration, then loads only the program of the stack's kind. */
import * as pulumi from "@pulumi/pulumi";
import path from "node:path";
import { CatalogueError, loadCatalogue, secretKeys } from "../services/catalogue";
import type { ServiceSpec } from "../services/spec";
import { parseConfig } from "./config";
import { readPulumiConfig } from "./pulumi-config";

/** Runs the program and returns the stack's outputs. */
export = async (): Promise<Record<string, unknown>> => {
  const stack = pulumi.getStack();
  const catalogue = readCatalogue();
  const { raw, encryptedKeys, secrets } = readPulumiConfig();
  const config = parseConfig(raw, { stack, projectDir: projectDir(), secretKeys: encryptedKeys, catalogue });
  switch (config.kind) {
    case "prod": {
      const { prod } = await import("./prod.ts");
      return prod(config, catalogue, secrets(secretKeys(catalogue)));
    }
    case "drill": {
      const { drill } = await import("./drill.ts");
      return drill(config, catalogue, stack);
    }
  }
};

function readCatalogue(): ServiceSpec[] {
  try {
    return loadCatalogue();
  } catch (error) {
    // A RunError shows its message alone, without a stack trace that would bury it.
    if (error instanceof CatalogueError) throw new pulumi.RunError(error.message);
    throw error;
  }
}

/** Older language hosts do not tell the project's folder and answer a placeholder. */
function projectDir(): string {
  const told = pulumi.getRootDirectory();
  return path.isAbsolute(told) ? told : path.resolve(__dirname, "..");
}
