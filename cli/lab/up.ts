import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalReference } from "../../lab/images/oci";
import { printImagesLock } from "../../stacks/images-lock";
import { CliError } from "../errors";
import type { Progress } from "../progress";
import { startDaemon } from "./daemon";
import { takeLabDown } from "./down";
import { labEnvironment } from "./environment";
import { shellCommand, stopCommand } from "./hints";
import { runInsideOrThrow } from "./inside";
import { createNamespace, namespaceExists } from "./namespace";
import { isAlive, readOwner, writeOwner } from "./owner";
import { labPaths, type LabPaths } from "./paths";
import type { LabParts as Prepared } from "./prepare";
import { processesOf } from "./processes";
import { makeSshKey, writeProject } from "./project-folder";
import { labSpecFromStacks } from "./spec-from-stacks";
import type { StackFiles } from "./stack-files";
import { makeTokens, writeTokens } from "./tokens";

export interface LabUpArgs {
  readonly id: string;
  /** Absolute folder of the clone. */
  readonly repoDir: string;
  readonly files: StackFiles;
  readonly prepared: Prepared;
  readonly progress: Progress;
  /** Absolute folder where runs leave their evidence. */
  readonly evidenceDir: string;
  /** Other nodes of the cluster, which have nothing. */
  readonly otherNodes?: readonly string[];
  /** Whether backup jobs also start at their times. A rehearsal that crosses 02:00 shall see its own backups only. */
  readonly scheduler: boolean;
  /** The only stack that is made; default: all. */
  readonly onlyStack?: string;
  /** What the operator has from before; default: generated. */
  readonly operator?: Operator;
  /** Least size of the storages that hold disks; default: what every lab has. */
  readonly storageBytes?: number;
}

/** What outlives a lost host. Secret. */
export interface Operator {
  /** Values by key. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Private half of the key that the Docker VM knows. */
  readonly sshKeyFile: string;
}

/** A lab whose APIs answer, with its stacks made and their secrets set. */
export interface RunningLab {
  readonly paths: LabPaths;
  readonly files: StackFiles;
  /** Generated values by key. Secret. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** Clears what an earlier lab of this id left by a crash; refuses when one is running. */
export async function claimLab(id: string, repoDir: string, progress: Progress): Promise<LabPaths> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    throw new CliError(
      `Unable to start the lab "${id}": it needs root on Linux for network namespaces and packages. ` +
        "Run it as root on Debian 12, or in a privileged container of it.",
    );
  }
  const paths = labPaths(id);
  const owner = readOwner(paths);
  if (owner !== undefined && isAlive(owner)) {
    throw new CliError(
      `Unable to start the lab "${id}": process ${owner.pid} runs it from ${owner.repoDir}. Wait for it, ` +
        `or end it with: ${stopCommand(id)}`,
    );
  }
  if (owner?.kept === true && (await processesOf(id, paths.namespace)).length > 0) {
    throw new CliError(
      `Unable to start the lab "${id}": it was left running, started from ${owner.repoDir}. Go on in it with \`${shellCommand(id)}\`, ` +
        `or end it with: ${stopCommand(id)}`,
    );
  }
  if (owner !== undefined || existsSync(paths.dir) || namespaceExists(paths)) {
    await progress.step("clearing what an earlier lab left", () => takeLabDown(paths));
  }
  await mkdir(paths.dir, { recursive: true, mode: 0o700 });
  writeOwner(paths, repoDir, false);
  return paths;
}

/** Starts the lab in a claimed folder. Whoever claimed it takes it down, also when this fails. */
export async function bringLabUp(args: LabUpArgs): Promise<RunningLab> {
  const { files, prepared, progress, repoDir } = args;
  const paths = labPaths(args.id);
  const tokens = makeTokens(files);
  const cloudflareToken = randomBytes(20).toString("hex");
  const planned = labSpecFromStacks(files.stacks, {
    id: args.id,
    dir: paths.dir,
    cloudImageFile: prepared.cloudImage.file,
    registry: prepared.registry,
    apiTokens: Object.values(tokens),
    cloudflareToken,
    scheduler: args.scheduler,
  });
  const { storageBytes = 0 } = args;
  const storages = planned.storages.map((storage) =>
    storage.kind === "lvmthin" ? { ...storage, totalBytes: Math.max(storage.totalBytes, storageBytes) } : storage,
  );
  const otherNodes = args.otherNodes === undefined ? {} : { otherNodes: [...args.otherNodes] };
  const spec = { ...planned, storages, ...otherNodes };
  const environment = labEnvironment({
    paths,
    pulumiBinDir: prepared.toolchain.binDir,
    nodeAddress: spec.node.address,
    apiToken: tokens.prod,
    cloudflareToken,
    passphrase: randomBytes(24).toString("hex"),
    outer: process.env,
  });
  const secrets =
    args.operator?.secrets ?? Object.fromEntries(files.secretKeys.map((key) => [key, randomBytes(24).toString("hex")]));

  await progress.step("starting the lab", async ({ detail }) => {
    detail("network namespace");
    await createNamespace(paths);
    for (const dir of [paths.home, paths.state, paths.pulumiHome]) await mkdir(dir, { recursive: true, mode: 0o700 });
    await symlink(join(prepared.toolchain.pulumiPluginsHome, "plugins"), join(paths.pulumiHome, "plugins"));
    await writeFile(paths.environmentFile, JSON.stringify(environment, undefined, 2), { mode: 0o600 });
    await writeTokens(paths, tokens);
    await writeFile(paths.secretsFile, JSON.stringify(secrets, undefined, 2), { mode: 0o600 });
    detail("project folder");
    const sshPublicKey = await makeSshKey(paths, args.operator?.sshKeyFile);
    const overlay = await writeProject(paths, repoDir, files, {
      stacks: files.stacks,
      evidenceDir: args.evidenceDir,
      trustDir: join(paths.project, "trust"),
      knownHostsFile: join(paths.home, "known_hosts"),
      imagesLockFile: join(paths.project, "images.lock.json"),
      sshKeyFile: paths.sshKey,
      sshPublicKey,
      cloudImageSha256: prepared.cloudImage.sha256,
      secretKeys: files.secretKeys,
      machineNote: "virtual machines by QEMU",
      scheduler: args.scheduler,
      ...(args.onlyStack === undefined ? {} : { onlyStack: args.onlyStack }),
    });
    const digests = files.images.map(
      (image) => [image, prepared.registry.tags[canonicalReference(image)] ?? ""] as const,
    );
    await writeFile(join(paths.project, "images.lock.json"), printImagesLock(new Map(digests)));
    progress.log(`overlay:\n${overlay}`);
    detail("APIs");
    await startDaemon(paths, repoDir, spec, environment);
  });
  await progress.step("making the stacks", async ({ detail }) => {
    for (const [stack, config] of Object.entries(files.stacks)) {
      if (args.onlyStack !== undefined && stack !== args.onlyStack) continue;
      detail(stack);
      await runInsideOrThrow(paths, ["pulumi", "stack", "init", stack, "--non-interactive"]);
      if (config.kind === "prod") await setSecrets(paths, stack, secrets);
    }
  });
  return { paths, files, secrets };
}

async function setSecrets(paths: LabPaths, stack: string, secrets: Readonly<Record<string, string>>): Promise<void> {
  for (const [key, value] of Object.entries(secrets)) {
    // By stdin: a command line can be seen by every process of the machine.
    await runInsideOrThrow(paths, ["pulumi", "config", "set", "-s", stack, "--secret", key], { input: value });
  }
}

/** What the lab replaced in the operator's stacks, as written at its start. */
export function readOverlay(paths: LabPaths): string {
  return readFileSync(paths.overlayFile, "utf8");
}
