/** The only place that reads Pulumi configuration. Everything else gets the checked and typed result. */
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";

/** Configuration as the engine hands it over. */
export interface PulumiConfig {
  /** `<namespace>:<key>` to text; structured values are JSON. Encrypted values are replaced by empty text. */
  readonly raw: Record<string, string>;
  /** Keys without namespace whose values are stored encrypted. */
  readonly encryptedKeys: ReadonlySet<string>;
  /** The values of these keys. Secret. */
  readonly secrets: (keys: readonly string[]) => Record<string, pulumi.Output<string>>;
}

/** Reads the running stack's configuration. Secret values leave this function as secret outputs only. */
export function readPulumiConfig(): PulumiConfig {
  const encrypted = new Set(z.array(z.string()).parse(JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS ?? "[]")));
  const raw = Object.fromEntries(
    Object.entries(pulumi.runtime.allConfig()).map(([key, text]) => [key, encrypted.has(key) ? "" : text]),
  );
  const config = new pulumi.Config("homelab");
  return {
    raw,
    encryptedKeys: new Set([...encrypted].map((key) => key.replace(/^homelab:/, ""))),
    secrets: (keys) => Object.fromEntries(keys.map((key) => [key, config.requireSecret(key)])),
  };
}
