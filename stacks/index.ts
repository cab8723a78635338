/** Pulumi's entry point: reads the configuration, then loads only the program of the stack's kind. */
import * as pulumi from "@pulumi/pulumi";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { DeployedContainer } from "../provider/contract/production";
import { requireAccess } from "../provider/sdk/access";
import { CatalogueError, loadCatalogue, secretKeys } from "../services/catalogue";
import type { ServiceSpec } from "../services/spec";
import { activeConsents } from "./consent";
import { dockerVmAddress, parseConfig, type ConfigContext, type ProdConfig, type StackConfig } from "./config";
import { ConfigError } from "./config-problems";
import { DeploymentLog, deploymentsFile } from "./deployments";
import { readImagesLock } from "./images-lock";
import { plainStackTraces } from "./plain-stack-traces";
import { orRunError } from "./project-files";
import { readPulumiConfig } from "./pulumi-config";
import { requirePulumi } from "./pulumi-version";

/** Runs the program and returns the stack's outputs. */
export = async (): Promise<Record<string, unknown>> => {
  const restoreStackTraces = plainStackTraces();
  try {
    return await runStack();
  } catch (error) {
    restoreStackTraces();
    // Pulumi looks at the stack trace although it shows only the message, and resolving it takes some 15 s.
    if (pulumi.RunError.isInstance(error)) error.stack = error.message;
    throw error;
  }
};

async function runStack(): Promise<Record<string, unknown>> {
  const stack = pulumi.getStack();
  await requirePulumi(stack);
  const catalogue = readCatalogue();
  const { raw, encryptedKeys, secrets } = readPulumiConfig();
  const context = { stack, projectDir: projectDir(), secretKeys: encryptedKeys, catalogue, environment: process.env };
  const config = await checkedConfig(raw, context);
  warnWithoutPolicies(context.projectDir);
  switch (config.kind) {
    case "prod": {
      const zoneId = catalogue.some(({ route }) => route !== undefined) ? config.dns.zoneId : undefined;
      const { vmId, pool } = config.dockerVm;
      const dockerVm = { vmId, pool, address: dockerVmAddress(config) };
      const newVm = activeConsents(config.consent, new Date(), "create").some(
        ({ resource }) => resource === "docker-vm",
      )
        ? {}
        : { newVm: { vmId, backupStorage: config.backupStorage } };
      // Side by side: the one waits for the provider to start, the other for the disk and the compiler.
      const [{ prod }, { sshTarget }, { lookupContainers }, { lookAgain }] = await Promise.all([
        import("./prod.ts"),
        import("./ssh-target.ts"),
        import("../provider/sdk/prod.ts"),
        requireAccess({ node: config.node, ...(zoneId === undefined ? {} : { zoneId }), dockerVm, ...newVm }),
      ]);
      const names = catalogue.map(({ name }) => name);
      const look = async (): Promise<DeployedContainer[]> =>
        lookupContainers({ ssh: sshTarget(config), timeoutSeconds: config.readiness.containerTimeoutSeconds });
      return prod(config, {
        catalogue,
        secrets: secrets(secretKeys(catalogue)),
        lock: orRunError(() => readImagesLock(config.files.imagesLock)),
        deployments: new DeploymentLog(deploymentsFile(config.files.trust), names, look),
        ...(lookAgain ? { lookAgain: () => lookAtStorage(config) } : {}),
      });
    }
    case "drill": {
      // In an update the drill's own resources say it, with evidence.
      if (pulumi.runtime.isDryRun()) {
        const { vmId, isolatedBridge, pool } = config.drill;
        await requireAccess({ node: config.node, drill: { vmId, isolatedBridge }, pool });
      }
      const { drill } = await import("./drill.ts");
      return drill(config, catalogue, stack);
    }
    case "restore": {
      if (pulumi.runtime.isDryRun()) await requireAccess({ node: config.node, pool: config.dockerVm.pool });
      const { restore } = await import("./restore.ts");
      return restore(config, catalogue, stack);
    }
  }
}

/** Set but empty is an answer: the operator wants none. */
function warnWithoutPolicies(projectDir: string): void {
  if (process.env["PULUMI_OPTION_POLICY_PACK"] !== undefined) return;
  const pack = path.join(projectDir, "policy/homelab-policies");
  void pulumi.log.warn(
    `No policies judge this stack, unless --policy-pack names them. Run: export PULUMI_OPTION_POLICY_PACK=${pack}`,
  );
}

/** The storage of the archives must be there by now, or nobody can tell whether there is one of a VM that is to be made. */
async function lookAtStorage({ node, dockerVm: { vmId }, backupStorage }: ProdConfig): Promise<void> {
  const { lookAgain } = await requireAccess({ node, newVm: { vmId, backupStorage } });
  if (!lookAgain) return;
  throw new pulumi.RunError(
    `Unable to make VM ${vmId} on ${node}: it does not exist, and whether there are archives of it can't be told, because node ${node} has no ` +
      `storage ${backupStorage}, although the state says so. Define it in Proxmox again (pvesm add), then run pulumi up -s restore if there are.`,
  );
}

async function checkedConfig(raw: Readonly<Record<string, string>>, context: ConfigContext): Promise<StackConfig> {
  try {
    return parseConfig(raw, context);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { placeProblems } = await import("./config-places.ts");
    const [project, stack] = await Promise.all(
      ["Pulumi.yaml", `Pulumi.${context.stack}.yaml`].map((file) => readIfThere(path.join(context.projectDir, file))),
    );
    throw placeProblems(error, { project, stack });
  }
}

/** Pulumi has read the files already; what can't be read again only costs the line numbers. */
async function readIfThere(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}

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
