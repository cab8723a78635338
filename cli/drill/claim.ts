/**
 * Which `homelab drill` or `homelab restore` works on a stack, in `<evidence>/.drill-<stack>.json` or `.restore-<stack>.json`
 * while it does. One that was killed leaves the file, with the runs that it had begun and was to bring to their end: a drill's
 * are nobody's then, even those with a verdict, and a restore's may have restored everything.
 */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { readFileIfThere, writeFileAtomically } from "../../provider/files";
import { isProcessAlive } from "../../provider/process-alive";
import { CliError, hasCode } from "../errors";
import type { RunPulumi } from "./pulumi";

const claimSchema = z.strictObject({
  pid: z.number().int(),
  host: z.string(),
  startedAt: z.iso.datetime(),
  /** Ids of the runs that the command has to bring to their end. */
  runs: z.array(z.string()),
});

/** The stack is this process's until it is disposed of. */
export interface Claim extends AsyncDisposable {
  /** Runs that a killed command was to bring to their end. */
  readonly abandoned: readonly string[];
  /** Takes down a run that this command is to bring to its end. */
  add(runId: string): Promise<void>;
}

/** What is claimed, and by which command. */
export interface ClaimArgs {
  readonly command: "drill" | "restore";
  readonly evidenceDir: string;
  readonly stack: string;
}

/** @throws CliError when another such command works on the stack, or one of another computer did */
export async function claimStack(args: ClaimArgs): Promise<Claim> {
  const { command, evidenceDir, stack } = args;
  const file = join(evidenceDir, `.${command}-${encodeURIComponent(stack)}.json`);
  await mkdir(evidenceDir, { recursive: true });
  const dead = await deadClaim(file, args);
  const abandoned = dead?.runs ?? [];
  const own = { pid: process.pid, host: hostname(), startedAt: new Date().toISOString() };
  // Abandoned runs stay in it until they are removed: this process may be killed as well.
  const runs = [...abandoned];
  const content = (): string => `${JSON.stringify({ ...own, runs })}\n`;
  if (dead === undefined) {
    await writeFile(file, content(), { flag: "wx" }).catch((error: unknown) => {
      throw hasCode(error, "EEXIST") ? refusal(args, file, "another process has just begun") : error;
    });
  } else {
    await takeOver(file, content(), args);
  }
  let written: Promise<void> = Promise.resolve();
  return {
    abandoned,
    async add(runId) {
      if (!runs.includes(runId)) {
        runs.push(runId);
        written = written.then(async () => writeFileAtomically(file, content()));
      }
      await written;
    },
    [Symbol.asyncDispose]: async () => rm(file, { force: true }),
  };
}

/** What a dead command left; undefined: nothing. @throws CliError when it may live */
async function deadClaim(file: string, args: ClaimArgs): Promise<{ readonly runs: readonly string[] } | undefined> {
  const text = await readFileIfThere(file);
  if (text === undefined) return undefined;
  const { data } = claimSchema.safeParse(parse(text));
  if (data === undefined) return { runs: [] };
  const { pid, host, startedAt } = data;
  const who = `process ${pid} on ${host} works on it since ${startedAt}`;
  if (host !== hostname() || (await isProcessAlive(pid, new Date(startedAt)))) throw refusal(args, file, who);
  return data;
}

/** Longest time between two processes that look at one dead claim at once, and both write. */
const RACE_MS = 50;

/** Replaces a dead claim in one step: were it removed first, a kill just then would lose its runs. */
async function takeOver(file: string, content: string, args: ClaimArgs): Promise<void> {
  for (const name of await readdir(args.evidenceDir)) {
    const isHalfWritten = name.startsWith(`${basename(file)}.`) && name.endsWith(".tmp");
    if (isHalfWritten) await rm(join(args.evidenceDir, name), { force: true });
  }
  await writeFileAtomically(file, content);
  await delay(RACE_MS);
  if ((await readFileIfThere(file)) !== content) throw refusal(args, file, "another process has just begun");
}

/** A file that a crash cut off is no claim. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function refusal({ command, stack }: ClaimArgs, file: string, who: string): CliError {
  return new CliError(
    `Unable to begin a ${command} of stack ${stack}: ${who}. Wait for its end; if it is dead, delete ${file} and try again.`,
  );
}

/** What the lease says as soon as a run has begun. */
const BEGUN = /\bRun (\d{8}T\d{6}Z-\w+-\w+) (?:restores|goes on with) /;

/** Runs `pulumi`, and takes down each run of which it tells the beginning. */
export function claimingRuns(pulumi: RunPulumi, claim: Claim): RunPulumi {
  return async (args, options = {}) => {
    const claims: Promise<void>[] = [];
    const onLine = (line: string): void => {
      const runId = BEGUN.exec(line)?.[1];
      if (runId !== undefined) claims.push(claim.add(runId));
      options.onLine?.(line);
    };
    const result = await pulumi(args, { ...options, onLine });
    await Promise.all(claims);
    return result;
  };
}
