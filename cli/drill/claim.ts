/**
 * Which `homelab drill` or `homelab restore` works on a stack, in `<evidence>/.drill-<stack>.json` or `.restore-<stack>.json`
 * while it does. One that was killed leaves the file, with the runs that it had begun and was to bring to their end: a drill's
 * are nobody's then, even those with a verdict, and a restore's may have restored everything.
 */
import { mkdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { readFileIfThere, writeFileAtomically } from "../../provider/files";
import { isProcessAlive } from "../../provider/process-alive";
import { CliError, hasCode } from "../errors";
import { createWhole, removeLitter, replaceDead } from "./claim-file";
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
  /** Whoever only mends something of the stack: what a killed command was to bring to its end stays for the next one. */
  readonly inPassing?: boolean;
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
  const print = (): string => `${JSON.stringify({ ...own, runs })}\n`;
  let content = print();
  const isOurs =
    dead === undefined
      ? await createWhole(file, content)
      : await replaceDead({ file, dead: dead.text, content, whoLives: async (path) => (await looked(path)).holder });
  if (!isOurs) throw refusal(args, file, "another process has just begun");
  await removeLitter(file);
  let written: Promise<void> = Promise.resolve();
  return {
    abandoned,
    async add(runId) {
      if (!runs.includes(runId)) {
        runs.push(runId);
        content = print();
        const next = content;
        written = written.then(async () => writeFileAtomically(file, next));
      }
      await written;
    },
    async [Symbol.asyncDispose]() {
      await written.catch(() => undefined); // whoever added it was told
      if ((await readFileIfThere(file)) !== content) return;
      if (args.inPassing === true && abandoned.length > 0 && dead !== undefined) {
        await writeFileAtomically(file, dead.text);
      } else {
        await rm(file, { force: true });
      }
    },
  };
}

interface DeadClaim {
  readonly text: string;
  readonly runs: readonly string[];
}

/** What a dead command left; undefined: nothing. @throws CliError when it may live */
async function deadClaim(file: string, args: ClaimArgs): Promise<DeadClaim | undefined> {
  const { text, runs, holder } = await looked(file);
  if (holder !== undefined) throw refusal(args, file, holder);
  return text === undefined ? undefined : { text, runs };
}

/** How long a claim that can't be read may be somebody's: no file system takes longer to write one down. */
const UNREADABLE_MS = 60_000;

/** A claim, and who may hold it. */
interface Looked {
  readonly text?: string;
  readonly runs: readonly string[];
  /** For people; undefined: nobody. */
  readonly holder?: string;
}

async function looked(file: string): Promise<Looked> {
  const text = await readFileIfThere(file);
  if (text === undefined) return { runs: [] };
  const { data } = claimSchema.safeParse(parse(text));
  if (data === undefined) {
    const age = Date.now() - (await writtenAt(file));
    const holder = `its claim was written ${Math.round(age / 1000)} s ago and can't be read`;
    return { text, runs: [], ...(age < UNREADABLE_MS ? { holder } : {}) };
  }
  const { pid, host, startedAt, runs } = data;
  const isAlive = host !== hostname() || (await isProcessAlive(pid, new Date(startedAt)));
  return { text, runs, ...(isAlive ? { holder: `process ${pid} on ${host} works on it since ${startedAt}` } : {}) };
}

/** 0 for a file that has just gone. */
async function writtenAt(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return 0;
    throw error;
  }
}

/** A file that a crash cut off is no claim. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function refusal({ command, stack, inPassing }: ClaimArgs, file: string, who: string): CliError {
  const action = inPassing === true ? "work on" : `begin a ${command} of`;
  return new CliError(
    `Unable to ${action} stack ${stack}: ${who}. Wait for its end; if it is dead, delete ${file} and try again.`,
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
