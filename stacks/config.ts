/** The configuration of a stack, checked and typed. Pure, and loadable without the Pulumi SDK. */
import { RunError } from "@pulumi/pulumi/errors";
import os from "node:os";
import path from "node:path";
import { z } from "zod";
import { secretKeys } from "../services/catalogue";
import { describeIssue } from "../services/checks/problem-text";
import type { ServiceSpec } from "../services/spec";
import { drillShape, prodShape, sharedShape } from "./config-schema";

/** What the configuration is judged against. */
export interface ConfigContext {
  /** Stack name, only for messages. */
  readonly stack: string;
  /** Absolute project folder, from which relative paths start. */
  readonly projectDir: string;
  /** Names without namespace of the keys that are stored encrypted. */
  readonly secretKeys: ReadonlySet<string>;
  readonly catalogue: readonly ServiceSpec[];
}

const prodSchema = z.strictObject({ kind: z.literal("prod"), ...sharedShape, ...prodShape });
const drillConfigSchema = z
  .strictObject({ kind: z.literal("drill"), ...sharedShape, ...drillShape })
  .superRefine(({ drill, dockerVm, backupStorage }, context) => {
    const refuse = (key: string, message: string): void =>
      context.addIssue({ code: "custom", path: ["drill", key], message });
    if (drill.vmId === dockerVm.vmId) {
      refuse(
        "vmId",
        `${drill.vmId} is production's VM (dockerVm.vmId). Expected: a VMID of the drill's own, such as 9200.`,
      );
    }
    if (drill.isolatedBridge === dockerVm.bridge) {
      refuse(
        "isolatedBridge",
        `"${drill.isolatedBridge}" is production's bridge (dockerVm.bridge). Expected: a bridge without port and address, such as vmbr99.`,
      );
    }
    if (drill.archive?.includes(":backup/") && !drill.archive.startsWith(`${backupStorage}:`)) {
      refuse(
        "archive",
        `"${drill.archive}" is not on the storage of the archives. Expected: one of ${backupStorage}:backup/.`,
      );
    }
    if (drill.name === dockerVm.name) {
      refuse(
        "name",
        `"${drill.name}" is production's name (dockerVm.name). Expected: another name, such as ${dockerVm.name}-drill.`,
      );
    }
  });

const schema = z.discriminatedUnion("kind", [prodSchema, drillConfigSchema], { error: "prod or drill" });

export type ProdConfig = z.infer<typeof prodSchema>;
export type DrillConfig = z.infer<typeof drillConfigSchema>;
export type StackConfig = ProdConfig | DrillConfig;

/** Namespaces of providers whose settings come from the environment, with the variables that carry them. */
const ENVIRONMENT_ONLY: Readonly<Record<string, string>> = {
  proxmoxve: "PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN",
  cloudflare: "CLOUDFLARE_API_TOKEN",
  docker: "nothing: host and options come from homelab:dockerVm",
};

/** Keys whose value is plain text; all others are JSON, as Pulumi hands structured values over. */
const TEXT_KEYS = new Set(["kind", "node", "zone", "backupStorage"]);

/**
 * Checks the whole configuration of a stack. Pure. `raw` maps `<namespace>:<key>` to text, structured values as JSON.
 * Throws one `RunError` that names every problem with its place, value and accepted form. Secret values are not looked at.
 */
export function parseConfig(raw: Readonly<Record<string, string>>, context: ConfigContext): StackConfig {
  if (raw["homelab:kind"] === "restore") {
    throw new RunError(
      `Unable to run stack ${context.stack}: this version has no emergency restore (homelab:kind is restore). ` +
        "Use kind prod or drill; how to restore by hand stands in the README.",
    );
  }
  const problems = foreignKeys(raw);
  const required = raw["homelab:kind"] === "prod" ? secretKeys(context.catalogue) : [];
  problems.push(...secretProblems(raw, required, context));

  const values: Record<string, unknown> = {};
  for (const [key, text] of Object.entries(raw)) {
    const name = key.replace(/^homelab:/, "");
    if (name === key || required.includes(name)) continue;
    values[name] = TEXT_KEYS.has(name) ? text : parseJson(text);
  }
  const parsed = schema.safeParse(values);
  if (!parsed.success) problems.push(...parsed.error.issues.map((issue) => `homelab:${describeIssue(issue, values)}`));
  else problems.push(...routeProblems(parsed.data, context.catalogue));

  if (!parsed.success || problems.length > 0) throw configError(context.stack, problems);
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

function configError(stack: string, problems: readonly string[]): RunError {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const lines = problems.map((problem) => `- ${problem}`).join("\n");
  return new RunError(`Unable to use the configuration of stack ${stack}: ${count}.\n${lines}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Not JSON: the schema names the place and says what it expects instead of this text.
    return text;
  }
}

function foreignKeys(raw: Readonly<Record<string, string>>): string[] {
  return Object.keys(raw).flatMap((key) => {
    const source = ENVIRONMENT_ONLY[key.split(":")[0] ?? ""];
    if (source === undefined) return [];
    const where = source.startsWith("nothing") ? "" : ` and set ${source} in the environment`;
    return [`${key}: not accepted in stack configuration. Remove it (pulumi config rm ${key})${where}.`];
  });
}

function secretProblems(
  raw: Readonly<Record<string, string>>,
  required: readonly string[],
  { stack, secretKeys: encrypted }: ConfigContext,
): string[] {
  return required.flatMap((key) => {
    const command = `pulumi config set -s ${stack} --secret ${key} "$(openssl rand -hex 24)"`;
    if (raw[`homelab:${key}`] === undefined) return [`homelab:${key}: this secret is missing. Run: ${command}`];
    if (!encrypted.has(key)) return [`homelab:${key}: this secret is stored as plain text. Run: ${command}`];
    return [];
  });
}

function routeProblems(config: StackConfig, catalogue: readonly ServiceSpec[]): string[] {
  if (config.kind !== "prod" || config.dns.publicAddress !== undefined) return [];
  const open = catalogue.filter(({ route }) => route?.exposure === "public").map(({ name }) => name);
  if (open.length === 0) return [];
  return [
    `homelab:dns.publicAddress: missing. Expected: the address that the public routes of ${open.join(", ")} point to.`,
  ];
}

function withAbsoluteFiles<T extends StackConfig>(config: T, projectDir: string): T {
  const { evidence, trust, knownHosts } = config.files;
  return {
    ...config,
    files: {
      evidence: path.resolve(projectDir, expandHome(evidence)),
      trust: path.resolve(projectDir, expandHome(trust)),
      // Kept as written when it starts with `~`: it is an input of resources and must be the same for every operator.
      knownHosts: knownHosts.startsWith("~") ? knownHosts : path.resolve(projectDir, knownHosts),
    },
  };
}

function expandHome(file: string): string {
  return file.replace(/^~(?=\/|$)/, os.homedir());
}
