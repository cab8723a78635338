/**
 * Which `homelab drill` works on a stack, in `<evidence>/.drill-<stack>.json` while it does. One that was killed leaves the
 * file: then the runs in it are nobody's, even those with a verdict, which it was about to remove.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { readFileIfThere, writeFileAtomically } from "../../provider/files";
import { isProcessAlive } from "../../provider/process-alive";
import { CliError, hasCode } from "../errors";

const claimSchema = z.strictObject({
  pid: z.number().int(),
  host: z.string(),
  startedAt: z.iso.datetime(),
  /** Run ids that are to be removed before the command ends. */
  runs: z.array(z.string()),
});

/** The stack is this process's until it is disposed of. */
export interface Claim extends AsyncDisposable {
  /** Runs that a killed command was to remove. */
  readonly abandoned: readonly string[];
  /** Takes down a run that this command is to remove. */
  add(runId: string): Promise<void>;
}

/** @throws CliError when another `homelab drill` works on the stack, or one of another computer did */
export async function claimStack(evidenceDir: string, stack: string): Promise<Claim> {
  const file = join(evidenceDir, `.drill-${encodeURIComponent(stack)}.json`);
  await mkdir(evidenceDir, { recursive: true });
  const abandoned = await takeOver(file, stack);
  const own = { pid: process.pid, host: hostname(), startedAt: new Date().toISOString() };
  // Abandoned runs stay in it until they are removed: this process may be killed as well.
  const runs = [...abandoned];
  const content = (): string => `${JSON.stringify({ ...own, runs })}\n`;
  await writeFile(file, content(), { flag: "wx" }).catch((error: unknown) => {
    throw hasCode(error, "EEXIST") ? refusal(stack, file, "another process has just begun") : error;
  });
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

/** Removes the file of a dead command and gives the runs in it. */
async function takeOver(file: string, stack: string): Promise<readonly string[]> {
  const text = await readFileIfThere(file);
  if (text === undefined) return [];
  const { data } = claimSchema.safeParse(parse(text));
  if (data !== undefined) {
    const { pid, host, startedAt } = data;
    const who = `process ${pid} on ${host} works on it since ${startedAt}`;
    if (host !== hostname() || (await isProcessAlive(pid, new Date(startedAt)))) throw refusal(stack, file, who);
  }
  await rm(file, { force: true });
  return data?.runs ?? [];
}

/** A file that a crash cut off is no claim. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function refusal(stack: string, file: string, who: string): CliError {
  return new CliError(
    `Unable to begin a drill of stack ${stack}: ${who}. Wait for its end; if it is dead, delete ${file} and try again.`,
  );
}
