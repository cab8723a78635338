/** The configuration of a stack, checked and typed. Pure, and loadable without the Pulumi SDK. */
import os from "node:os";
import path from "node:path";
import { z } from "zod";
import { secretKeys } from "../services/catalogue";
import { problemsOf, type Problem } from "../services/checks/problem-text";
import type { ServiceSpec } from "../services/spec";
import { byPlace, ConfigError, type ConfigProblem } from "./config-problems";
import { relationProblems } from "./config-relations";
import { drillShape, prodShape, restoreShape, sharedShape } from "./config-schema";
import { environmentProblems } from "./environment";

/** What the configuration is judged against. */
export interface ConfigContext {
  /** Stack name, only for messages. */
  readonly stack: string;
  /** Absolute project folder, from which relative paths start. */
  readonly projectDir: string;
  /** Names without namespace of the keys that are stored encrypted. */
  readonly secretKeys: ReadonlySet<string>;
  readonly catalogue: readonly ServiceSpec[];
  /** The environment that the providers run in; absent: it is not judged. */
  readonly environment?: NodeJS.ProcessEnv;
}

const prodSchema = z.strictObject({ kind: z.literal("prod"), ...sharedShape, ...prodShape });
const drillConfigSchema = z.strictObject({ kind: z.literal("drill"), ...sharedShape, ...drillShape });
const restoreConfigSchema = z.strictObject({ kind: z.literal("restore"), ...sharedShape, ...restoreShape });
const schema = z.discriminatedUnion("kind", [prodSchema, drillConfigSchema, restoreConfigSchema], {
  error: "prod, drill or restore",
});
/** What can be judged of a stack whose kind is not known. */
const sharedSchema = z.looseObject(sharedShape);

export type ProdConfig = z.infer<typeof prodSchema>;
export type DrillConfig = z.infer<typeof drillConfigSchema>;
export type RestoreConfig = z.infer<typeof restoreConfigSchema>;
export type StackConfig = ProdConfig | DrillConfig | RestoreConfig;

/** Namespaces of providers whose settings come from the environment, with the variables that carry them. */
const ENVIRONMENT_ONLY: Readonly<Record<string, string>> = {
  proxmoxve: "PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN",
  cloudflare: "CLOUDFLARE_API_TOKEN",
  docker: "nothing: host and options come from homelab:dockerVm",
};

/** Keys whose value is plain text; all others are JSON, as Pulumi hands structured values over. */
const TEXT_KEYS = new Set(["kind", "node", "zone", "backupStorage"]);

/**
 * Checks the whole configuration of a stack. Pure but for the files that variables of the environment name. `raw` maps
 * `<namespace>:<key>` to text, structured values as JSON. Throws one `ConfigError` that names every problem with its place,
 * value and accepted form. Secret values are not looked at.
 */
export function parseConfig(raw: Readonly<Record<string, string>>, context: ConfigContext): StackConfig {
  const required = raw["homelab:kind"] === "prod" ? secretKeys(context.catalogue) : [];
  const values: Record<string, unknown> = {};
  for (const [key, text] of Object.entries(raw)) {
    const name = key.replace(/^homelab:/, "");
    if (name === key || required.includes(name)) continue;
    values[name] = TEXT_KEYS.has(name) ? text : parseJson(text);
  }
  const parsed = schema.safeParse(values);
  const problems: ConfigProblem[] = [
    ...foreignKeys(raw),
    ...parseProblems(parsed.error?.issues ?? [], values),
    ...relationProblems(values).map((problem) => withSource(problem)),
    ...routeProblems(values, context.catalogue),
    ...secretProblems(raw, required, context),
    ...unsetVariables(values, context),
  ];
  if (!parsed.success || problems.length > 0) throw new ConfigError(context.stack, byPlace(problems), raw);
  return withAbsoluteFiles(parsed.data, context.projectDir);
}

/** Address of the Docker VM without its prefix. */
export function dockerVmAddress(config: StackConfig): string {
  return config.dockerVm.address.replace(/\/.*$/, "");
}

/** File that holds the proxy's public root certificate: prod writes it, drills verify against it. */
export function rootCertificateFile(config: StackConfig): string {
  return path.join(config.files.trust, `${config.zone}-proxy-root.pem`);
}

/** Problems of the values by themselves. A stack of unknown kind is still judged by what every stack has. */
function parseProblems(
  issues: readonly z.core.$ZodIssue[],
  values: Readonly<Record<string, unknown>>,
): ConfigProblem[] {
  const isKindUnknown = issues.some(({ path: [key] }) => key === "kind");
  const all = isKindUnknown ? [...issues, ...(sharedSchema.safeParse(values).error?.issues ?? [])] : issues;
  return all.flatMap((issue) => problemsOf(issue, values)).map((problem) => withSource(withFields(problem)));
}

/** Names what a whole missing section consists of. */
function withFields(problem: Problem): Problem {
  const [key, ...rest] = problem.path;
  const section: z.ZodType | undefined = { ...sharedShape, ...prodShape, ...drillShape, ...restoreShape }[String(key)];
  if (rest.length > 0 || !(section instanceof z.ZodObject)) return problem;
  const required = Object.entries(section.shape as Record<string, z.ZodType>).flatMap(([name, field]) =>
    field.safeParse(undefined).success ? [] : [name],
  );
  return { ...problem, text: problem.text.replace(/Expected: an object\.$/, `Expected: ${required.join(", ")}.`) };
}

/** Adds the namespace and the file in which the key belongs. */
function withSource({ path, text }: Problem): ConfigProblem {
  const [key, ...rest] = path;
  const isShared = key !== undefined && key !== "environmentNotes" && key in sharedShape;
  return { path: [`homelab:${String(key)}`, ...rest], text, source: isShared ? "project" : "stack" };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Not JSON: the schema names the place and says what it expects instead of this text.
    return text;
  }
}

function foreignKeys(raw: Readonly<Record<string, string>>): ConfigProblem[] {
  return Object.keys(raw).flatMap((key): ConfigProblem[] => {
    const [namespace = ""] = key.split(":");
    // Pulumi's own settings, such as pulumi:tags.
    if (namespace === "homelab" || namespace === "pulumi") return [];
    const problem = (text: string): ConfigProblem[] => [{ path: [key], text, source: "stack" }];
    const source = ENVIRONMENT_ONLY[namespace];
    if (source === undefined) return problem("unknown. Remove it or correct the spelling; keys begin with homelab:.");
    const where = source.startsWith("nothing") ? "" : ` and set ${source} in the environment`;
    return problem(`not accepted in stack configuration. Remove it (pulumi config rm ${key})${where}.`);
  });
}

function secretProblems(
  raw: Readonly<Record<string, string>>,
  required: readonly string[],
  { stack, secretKeys: encrypted }: ConfigContext,
): ConfigProblem[] {
  return required.flatMap((key): ConfigProblem[] => {
    const command = `pulumi config set -s ${stack} --secret ${key} "$(openssl rand -hex 24)"`;
    const problem = (text: string): ConfigProblem[] => [{ path: [`homelab:${key}`], text, source: "stack" }];
    if (raw[`homelab:${key}`] === undefined) return problem(`this secret is missing. Run: ${command}`);
    if (!encrypted.has(key)) return problem(`this secret is stored as plain text. Run: ${command}`);
    return [];
  });
}

function routeProblems(values: Readonly<Record<string, unknown>>, catalogue: readonly ServiceSpec[]): ConfigProblem[] {
  if (values["kind"] !== "prod" || typeof values["dns"] !== "object" || values["dns"] === null) return [];
  if ("publicAddress" in values["dns"]) return [];
  const open = catalogue.filter(({ route }) => route?.exposure === "public").map(({ name }) => name);
  if (open.length === 0) return [];
  const text = `missing. Expected: the address that the public routes of ${open.join(", ")} point to.`;
  return [withSource({ path: ["dns", "publicAddress"], text })];
}

function unsetVariables(
  values: Readonly<Record<string, unknown>>,
  { environment, catalogue }: ConfigContext,
): ConfigProblem[] {
  if (environment === undefined) return [];
  const cloudflare = values["kind"] === "prod" && catalogue.some(({ route }) => route !== undefined);
  return environmentProblems(environment, { cloudflare }).map((problem) => ({ ...problem, source: "environment" }));
}

function withAbsoluteFiles<T extends StackConfig>(config: T, projectDir: string): T {
  const { evidence, trust, knownHosts, imagesLock } = config.files;
  return {
    ...config,
    files: {
      evidence: path.resolve(projectDir, expandHome(evidence)),
      trust: path.resolve(projectDir, expandHome(trust)),
      imagesLock: path.resolve(projectDir, expandHome(imagesLock)),
      // Kept as written when it starts with `~`: it is an input of resources and must be the same for every operator.
      knownHosts: knownHosts.startsWith("~") ? knownHosts : path.resolve(projectDir, knownHosts),
    },
  };
}

function expandHome(file: string): string {
  return file.replace(/^~(?=\/|$)/, os.homedir());
}
