/** The running lab that the rehearsal tests share: they run inside its namespace, with its environment. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { labPaths, type LabPaths } from "../../cli/lab/paths";
import { nodeCommand } from "../../cli/lab/node-command";
import { tokenVariable, type TokenHolder } from "../../cli/lab/tokens";
import { PveClient } from "../../pve/client";
import { runInGuest } from "../../pve/nodes/agent";

export const REPO_DIR = resolve(__dirname, "../..");

/** The lab of this test run. */
export function lab(): LabPaths {
  const id = process.env["HOMELAB_TEST_LAB"];
  if (id === undefined)
    throw new Error("Unable to test without a lab: HOMELAB_TEST_LAB is not set. Run: npm run test:lab");
  return labPaths(id);
}

/** Folder of the evidence of this test run. */
export function evidenceDir(): string {
  return process.env["HOMELAB_TEST_EVIDENCE"] ?? join(lab().dir, "drills");
}

/** Asks the emulated Proxmox, as an observer who may see everything; what is tested has the tokens of its stacks. */
export const client = new PveClient();

export interface Ended {
  readonly code: number;
  /** stdout and stderr. */
  readonly output: string;
  readonly stdout: string;
}

export interface RunArgs {
  /** Default: the lab's project folder. */
  readonly cwd?: string;
  /** Added to the environment; the place for secrets, which every process could see on a command line. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whose API token it has; default: the drill's where the command names stack drill, else production's. */
  readonly as?: TokenHolder;
}

/** What all programs have printed so far. */
export const outputs: string[] = [];

/** Runs a program in the lab, whatever its exit code. */
export function run(
  command: readonly string[],
  { cwd = lab().project, env = {}, as = command.includes("drill") ? "drill" : "prod" }: RunArgs = {},
): Promise<Ended> {
  const [program = "", ...args] = command;
  const options = { cwd, env: { ...process.env, ...tokenVariable(lab(), as), ...env }, maxBuffer: 64 * 2 ** 20 };
  return new Promise((done, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      outputs.push(stdout, stderr);
      if (error !== null && typeof error.code !== "number")
        reject(new Error(`Unable to run ${program}: ${error.message}`));
      else done({ code: typeof error?.code === "number" ? error.code : 0, output: `${stdout}\n${stderr}`, stdout });
    });
  });
}

/** Runs `pulumi` and expects success; the error shows its whole output. */
export async function pulumi(args: readonly string[], cwd?: string): Promise<Ended> {
  const ended = await pulumiAnyway(args, cwd);
  if (ended.code !== 0) throw new Error(`pulumi ${args.join(" ")} ended with code ${ended.code}:\n${ended.output}`);
  return ended;
}

/** Runs `pulumi`, whatever its exit code. */
export function pulumiAnyway(args: readonly string[], cwd?: string): Promise<Ended> {
  return run(["pulumi", ...args, "--non-interactive", "--color=never"], { cwd });
}

/** Runs `homelab backup now` and returns the archive's volume id. */
export async function backupNow(): Promise<string> {
  const ended = await run(nodeCommand("cli/main.ts", ["backup", "now", "-s", "prod"]));
  const archive = /\S+:backup\/vzdump-qemu-\S+\.vma\.zst/.exec(ended.stdout)?.[0];
  if (ended.code !== 0 || archive === undefined) throw new Error(`homelab backup now failed:\n${ended.output}`);
  return archive;
}

/** Runs a shell command in a VM through its guest agent; throws unless it ends with code 0. */
export async function inGuest(vmId: number, command: string, { node = "pve" } = {}): Promise<string> {
  const result = await runInGuest(client, { node, vmId }, ["/bin/sh", "-c", command], { timeoutMs: 120_000 });
  if (result.exitCode !== 0) throw new Error(`"${command}" in VM ${vmId}: ${result.stderr}${result.stdout}`);
  return result.stdout.trim();
}

/** One request that the emulated Proxmox has seen. */
export interface LoggedRequest {
  readonly at: string;
  readonly method: string;
  readonly path: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly status: number;
}

/** All requests so far, oldest first. */
export function requests(): LoggedRequest[] {
  const lines = readFileSync(lab().requestLog, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as LoggedRequest);
}
