import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { CliError, causeOf } from "../errors";
import { POLICY_PACK, POLICY_PACK_VARIABLE } from "../policy-pack";
import { CLOUDFLARE_PORT } from "./spec-from-stacks";
import type { LabPaths } from "./paths";
import { LAB_VARIABLE } from "./processes";

export interface EnvironmentArgs {
  readonly paths: LabPaths;
  /** Folder with `pulumi` and its language host. */
  readonly pulumiBinDir: string;
  /** Address of the emulated node. */
  readonly nodeAddress: string;
  /** Production's; drills get theirs in its place (tokens.ts). Secret. */
  readonly apiToken: string;
  /** Secret. */
  readonly cloudflareToken: string;
  /** Secret. */
  readonly passphrase: string;
  /** This process's environment, of which only what concerns terminal and machines is taken over. */
  readonly outer: NodeJS.ProcessEnv;
}

const TAKEN_OVER = [
  ...["TERM", "LANG", "LC_ALL", "TZ", "COLORTERM", "NO_COLOR", "CI", "COLUMNS", "LINES"],
  // How the lab runs machines (lab/qemu/accelerator.ts).
  "HOMELAB_ACCEL",
];
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The whole environment of everything that runs in the lab. Nothing of the operator's own comes along: no credential, no
 * Pulumi account, no proxy, no SSH agent. Secret.
 */
export function labEnvironment(args: EnvironmentArgs): Record<string, string> {
  const { paths } = args;
  const outer = TAKEN_OVER.flatMap((name) => {
    const value = args.outer[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(outer),
    PATH: `${paths.bin}:${args.pulumiBinDir}:${dirname(process.execPath)}:${SYSTEM_PATH}`,
    HOME: paths.home,
    USER: "root",
    SHELL: "/bin/bash",
    [LAB_VARIABLE]: paths.id,
    PULUMI_HOME: paths.pulumiHome,
    PULUMI_BACKEND_URL: `file://${paths.state}`,
    PULUMI_CONFIG_PASSPHRASE: args.passphrase,
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    [POLICY_PACK_VARIABLE]: join(paths.project, POLICY_PACK),
    PROXMOX_VE_ENDPOINT: `https://${args.nodeAddress}:8006/`,
    PROXMOX_VE_API_TOKEN: args.apiToken,
    CLOUDFLARE_API_TOKEN: args.cloudflareToken,
    CLOUDFLARE_BASE_URL: `https://${args.nodeAddress}:${CLOUDFLARE_PORT}/client/v4`,
    SSL_CERT_FILE: paths.caFile,
    NODE_EXTRA_CA_CERTS: paths.caFile,
  };
}

/** The environment that a running lab has written down. */
export function readEnvironment(paths: LabPaths): Record<string, string> {
  try {
    return z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(paths.environmentFile, "utf8")));
  } catch (error) {
    throw new CliError(`Unable to use the lab "${paths.id}": ${causeOf(error)}. Start it with: npm start -- --keep`, {
      cause: error,
    });
  }
}
