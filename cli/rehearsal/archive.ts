/** "Does my real backup come back?" The drill of one archive of the operator's, in the lab, without a prod stack. */
import { mkdir, readFile, statfs, symlink } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import pc from "picocolors";
import { ensureToolchain } from "../../toolchain/ensure";
import { writeOwner } from "../lab/owner";
import { labPaths } from "../lab/paths";
import type { LabParts } from "../lab/prepare";
import { openLabShell, printShellHint } from "../lab/shell";
import { readStackFiles } from "../lab/stack-files";
import { bringLabUp, readOverlay, type RunningLab } from "../lab/up";
import { withLab } from "../lab/with-lab";
import { CliError } from "../errors";
import { duration, type Progress } from "../progress";
import { findArchive, inspectArchive, type ArchiveFile } from "./archive-file";
import { planArchiveDrill, type ArchivePlan, type Host } from "./archive-plan";
import { endRehearsal } from "./ending";
import { rehearsalEvidence } from "./evidence";
import { destroyDrill, drillStack, runDrill } from "./steps";

export interface RehearseArchiveArgs {
  readonly id: string;
  readonly repoDir: string;
  /** The file as the operator typed it. It is read and never changed. */
  readonly archive: string;
  /** Folder in which it was typed. */
  readonly folder: string;
  /** Leave the lab running and the drill standing. */
  readonly keep: boolean;
  readonly progress: Progress;
}

/** Restores and checks the archive's VM. Returns the exit code: 0 only if the drill passed. */
export async function rehearseArchive(args: RehearseArchiveArgs): Promise<number> {
  const { progress, repoDir } = args;
  const start = Date.now();
  await findArchive(args.archive, args.folder); // before anything is set up, even the tools that unpack it
  const files = await readStackFiles(repoDir);
  const committed = drillStack({ files });
  await progress.step("system packages", ({ detail }) => ensureToolchain({ log: detail, what: ["packages"] }));
  const archive = await inspectArchive(args.archive, args.folder);
  const plan = planArchiveDrill(files, committed, archive, await thisComputer());
  for (const line of describe(archive, plan)) progress.line(line);

  const evidenceDir = rehearsalEvidence(repoDir);
  const exitCode = await withLab({ ...args, keepOnSuccess: args.keep }, async () => {
    const lab = await bringUp(args, plan, evidenceDir);
    progress.line("What the lab replaces in your stacks:");
    for (const line of readOverlay(lab.paths).trimEnd().split("\n")) progress.line(pc.dim(`    ${line}`));
    await progress.step("putting the archive into the lab's backup storage", () => link(lab, plan, archive));
    const steps = { lab, progress, evidenceDir };
    const drill = await runDrill(steps);
    if (!args.keep) await destroyDrill(steps);

    const code = endRehearsal(drill, lab.paths, progress);
    progress.line(`The rehearsal took ${duration(Date.now() - start)}.`);
    if (args.keep) writeOwner(lab.paths, repoDir, true);
    return code;
  });
  if (args.keep) {
    for (const line of printShellHint(args.id)) progress.line(line);
    if (process.stdin.isTTY && process.stdout.isTTY) await openLabShell(labPaths(args.id));
  }
  return exitCode;
}

function describe(archive: ArchiveFile, plan: ArchivePlan): string[] {
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const { drill } = plan.drill.config;
  return [
    `archive  ${archive.path} (${gib(archive.bytes)}, disks ${gib(archive.diskBytes)})`,
    `VM       ${archive.vmId}, restored as VM ${drill.vmId} on storage ${drill.storage}, bridge ${drill.isolatedBridge}`,
    ...plan.notes.slice(1).map((note) => `note     ${note}`),
  ];
}

/** Linux' own estimate of what a new program can have without swapping. Source: proc(5), `MemAvailable`. */
async function thisComputer(): Promise<Host> {
  const meminfo = await readFile("/proc/meminfo", "utf8");
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  if (available === undefined) {
    throw new CliError("Unable to tell this computer's free memory: /proc/meminfo has no MemAvailable. Use Linux.");
  }
  const { bavail, bsize } = await statfs("/var/tmp");
  return {
    memoryMiB: Math.floor(Number(available) / 1024),
    cores: availableParallelism(),
    diskBytes: bavail * bsize,
  };
}

/** A lab without images: nothing is installed or pulled in it. */
async function bringUp(args: RehearseArchiveArgs, plan: ArchivePlan, evidenceDir: string): Promise<RunningLab> {
  const { progress } = args;
  const toolchain = await progress.step("Pulumi and its plugins", ({ detail }) =>
    ensureToolchain({ log: detail, what: ["pulumi"] }),
  );
  const nothing = join(labPaths(args.id).dir, "no-images");
  await mkdir(nothing, { recursive: true });
  const prepared: LabParts = {
    toolchain,
    cloudImage: { file: join(nothing, "none.qcow2"), sha256: "0".repeat(64) },
    registry: { root: nothing, tags: {} },
  };
  return bringLabUp({
    ...args,
    files: plan.files,
    prepared,
    evidenceDir,
    scheduler: false,
    onlyStack: plan.drill.name,
    storageBytes: plan.storageBytes,
  });
}

/** A symbolic link: no second copy, on any file system, and nothing that the lab removes is the operator's. */
async function link({ paths }: RunningLab, { files }: ArchivePlan, archive: ArchiveFile): Promise<void> {
  const dump = join(paths.dir, "fs", "mnt", "pve", files.prod.config.backupStorage, "dump");
  await mkdir(dump, { recursive: true });
  await symlink(archive.path, join(dump, archive.name));
}
