/** The API tokens of a lab: what `homelab roles` makes on the operator's own node, and one to look from outside. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CliError, causeOf } from "../errors";
import { identitiesOf } from "../privileges/grants";
import type { LabPaths } from "./paths";
import type { StackFiles } from "./stack-files";

const tokensSchema = z.strictObject({
  /** For stacks of kind prod and for `homelab backup`. */
  prod: z.string(),
  /** For drills. */
  drill: z.string(),
  /** May everything. For who watches a rehearsal, never for a stack. */
  observer: z.string(),
});
/** Secret, `user@realm!name=uuid` each. */
export type LabTokens = z.infer<typeof tokensSchema>;
export type TokenHolder = keyof LabTokens;

/** New tokens of the users that the stacks need. */
export function makeTokens({ stacks }: Pick<StackFiles, "stacks">): LabTokens {
  const user = (kind: "prod" | "drill"): string =>
    identitiesOf(stacks).find((identity) => identity.kind === kind)?.user ?? `homelab-${kind}@pve`;
  const token = (name: string): string => `${name}!lab=${randomUUID()}`;
  return { prod: token(user("prod")), drill: token(user("drill")), observer: token("root@pam") };
}

/** Writes them down, and as the two files that a shell in the lab sources: `~/prod.env` and `~/drill.env`. */
export async function writeTokens(paths: LabPaths, tokens: LabTokens): Promise<void> {
  await writeFile(paths.tokensFile, JSON.stringify(tokens), { mode: 0o600 });
  await mkdir(paths.home, { recursive: true, mode: 0o700 });
  for (const kind of ["prod", "drill"] as const) {
    const text = `export PROXMOX_VE_API_TOKEN='${tokens[kind]}'\n`;
    await writeFile(join(paths.home, `${kind}.env`), text, { mode: 0o600 });
  }
}

/** The variable by which programs in the lab speak for somebody. Secret. */
export function tokenVariable(paths: LabPaths, holder: TokenHolder): { readonly PROXMOX_VE_API_TOKEN: string } {
  try {
    return { PROXMOX_VE_API_TOKEN: tokensSchema.parse(JSON.parse(readFileSync(paths.tokensFile, "utf8")))[holder] };
  } catch (error) {
    throw new CliError(`Unable to use the lab "${paths.id}": ${causeOf(error)}. Start it with: npm start -- --keep`, {
      cause: error,
    });
  }
}
