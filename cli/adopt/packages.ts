/** The provider packages that the stacks use, as they are installed. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CliError, causeOf } from "../errors";
import type { ProviderPackage } from "./state";

const packageSchema = z.object({
  pulumi: z.object({ name: z.string(), version: z.string(), server: z.string().optional() }),
});

const PACKAGES = ["@muhlba91/pulumi-proxmoxve", "@pulumi/cloudflare"];

/** By the provider's name. Docker is not among them: the stacks make its provider themselves. */
export async function providerPackages(projectDir: string): Promise<Record<string, ProviderPackage>> {
  const found = await Promise.all(
    PACKAGES.map(async (name) => {
      const file = join(projectDir, "node_modules", name, "package.json");
      try {
        const { pulumi } = packageSchema.parse(JSON.parse(await readFile(file, "utf8")));
        return [pulumi.name, pulumi] as const;
      } catch (error) {
        throw new CliError(`Unable to read ${file}: ${causeOf(error)}. Run npm install.`, { cause: error });
      }
    }),
  );
  return Object.fromEntries(found);
}
