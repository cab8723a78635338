/** The configuration of a stack as Pulumi would hand it over, from the project's files alone, without Pulumi. */
import { z } from "zod";

const projectSchema = z.looseObject({ config: z.record(z.string(), z.unknown()).optional() });
const encryptedSchema = z.strictObject({ secure: z.string() });

/** Result of `readRawConfig`. */
export interface RawConfig {
  /** `<namespace>:<key>` to text; structured values are JSON. Encrypted values are left out as empty text. */
  readonly raw: Record<string, string>;
  /** Keys without namespace whose values are stored encrypted. */
  readonly secretKeys: Set<string>;
}

/**
 * Merges the parsed `Pulumi.yaml` and `Pulumi.<stack>.yaml`: the stack's keys win as a whole, as in Pulumi.
 * Source: https://www.pulumi.com/docs/iac/concepts/config/#project-level-configuration
 */
export function readRawConfig(project: unknown, stack: unknown): RawConfig {
  const values: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(projectSchema.parse(project).config ?? {})) {
    const value = declaredValue(entry);
    if (value !== undefined) values[withNamespace(key)] = value;
  }
  for (const [key, value] of Object.entries(projectSchema.parse(stack).config ?? {}))
    values[withNamespace(key)] = value;

  const raw: Record<string, string> = {};
  const secretKeys = new Set<string>();
  for (const [key, value] of Object.entries(values)) {
    if (encryptedSchema.safeParse(value).success) {
      secretKeys.add(key.replace(/^homelab:/, ""));
      raw[key] = "";
    } else {
      // Pulumi takes a key without a value for an empty text.
      const given = value ?? "";
      raw[key] = typeof given === "string" ? given : JSON.stringify(given);
    }
  }
  return { raw, secretKeys };
}

/** `key: text`, `key: { value: … }` or `key: { type: …, default: … }`. */
function declaredValue(entry: unknown): unknown {
  if (typeof entry !== "object" || entry === null) return entry;
  if ("value" in entry) return entry.value;
  return "default" in entry ? entry.default : undefined;
}

function withNamespace(key: string): string {
  return key.includes(":") ? key : `homelab:${key}`;
}
