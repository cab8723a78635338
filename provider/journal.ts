/** The run journal on disk: appended line by line, each synced before the step goes on. */
import { mkdir, open, readdir, readFile, truncate } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Evidence, type JournalEvent, journalEventSchema } from "./contract/evidence";
import { evidenceFromJournal } from "./evidence";
import { hasCode, readFileIfThere, writeFileAtomically } from "./files";
import { isProcessAlive } from "./process-alive";
import { renderReport } from "./report";
import { messageOf } from "./text";

/** An event without what the journal adds itself. */
export type NewEvent = DistributiveOmit<JournalEvent, "at" | "runId">;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** Which journal: the run's folder and id. */
export interface JournalRef {
  readonly runDir: string;
  readonly runId: string;
}

const JOURNAL = "journal.ndjson";
const EVIDENCE = "drill.json";

/** Path of a run's journal. */
export function journalFile(runDir: string): string {
  return join(runDir, JOURNAL);
}

/** Appends one event and returns once it is on disk. */
export async function appendEvent(
  { runDir, runId }: JournalRef,
  event: NewEvent,
  at = new Date(),
): Promise<JournalEvent> {
  const complete = journalEventSchema.parse({ ...event, at: at.toISOString(), runId });
  await mkdir(runDir, { recursive: true });
  await cutTornLineOnce(runDir);
  const file = await open(journalFile(runDir), "a", 0o644);
  try {
    await file.writeFile(`${JSON.stringify(complete)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return complete;
}

/** All events of a run. A last line that a crash cut off is ignored; anything else that can't be read is an error. */
export async function readJournal(runDir: string): Promise<JournalEvent[]> {
  const path = journalFile(runDir);
  const lines = (await readFile(path, "utf8")).split("\n");
  const isTorn = lines.at(-1) !== "";
  const whole = isTorn ? lines.slice(0, -1) : lines;
  return whole
    .filter((line) => line !== "")
    .map((line, index) => {
      try {
        return journalEventSchema.parse(JSON.parse(line));
      } catch (error) {
        const text = `Unable to read line ${index + 1} of the journal ${path}: it is no journal event.`;
        throw new Error(`${text} The journal was changed by hand; restore it or move its folder away.`, {
          cause: error,
        });
      }
    });
}

/** All events of a run; none when its evidence folder was moved away, which must not keep a VM from being removed. */
export async function readJournalIfThere(runDir: string): Promise<JournalEvent[]> {
  return (await readFileIfThere(journalFile(runDir))) === undefined ? [] : readJournal(runDir);
}

/** Files made from a journal. */
export interface EvidenceFiles {
  readonly evidence: Evidence;
  readonly evidenceFile: string;
  readonly reportFile: string;
}

/** Makes `drill.json` and `report.md` from the journal; made again, they are the same. */
export async function writeEvidence(runDir: string): Promise<EvidenceFiles> {
  const evidence = evidenceFromJournal(await readJournal(runDir));
  const evidenceFile = join(runDir, EVIDENCE);
  const reportFile = join(runDir, "report.md");
  await writeFileAtomically(reportFile, renderReport(evidence));
  // Last: a run that has this file has both.
  await writeFileAtomically(evidenceFile, `${JSON.stringify(evidence, null, 2)}\n`);
  return { evidence, evidenceFile, reportFile };
}

/** Ends a run as `aborted` if it has no end yet, and writes its evidence. Gives whether it had none. */
export async function closeAsAborted(ref: JournalRef, reason: string): Promise<boolean> {
  const events = await readJournal(ref.runDir);
  if (events.some(({ type }) => type === "run-ended")) return false;
  await appendEvent(ref, { type: "run-ended", verdict: "aborted", reasons: [reason] });
  await writeEvidence(ref.runDir);
  return true;
}

/** Journals that this process has looked at: from then on only whole lines are added. */
const looked = new Map<string, Promise<void>>();

/** Removes a last line that a crash cut off, so that the next event begins a line of its own. */
async function cutTornLineOnce(runDir: string): Promise<void> {
  const known = looked.get(runDir) ?? cutTornLine(journalFile(runDir));
  looked.set(runDir, known);
  await known;
}

async function cutTornLine(path: string): Promise<void> {
  const text = await readFileIfThere(path);
  if (text === undefined || text === "" || text.endsWith("\n")) return;
  await truncate(path, Buffer.byteLength(text.slice(0, text.lastIndexOf("\n") + 1)));
}

/** A run as its journal tells it. */
export interface KnownRun extends JournalRef {
  readonly events: readonly JournalEvent[];
}

/** Folders of all runs below an evidence folder, newest first (run ids begin with the time). */
async function runFolders(evidenceDir: string): Promise<JournalRef[]> {
  const entries = await readdir(evidenceDir, { withFileTypes: true }).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  });
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ runId: name, runDir: join(evidenceDir, name) }))
    .sort((left, right) => (left.runId < right.runId ? 1 : -1));
}

/** A run as it can be read, or why it can't. */
type FoundRun = (KnownRun & { readonly problem?: undefined }) | (JournalRef & { readonly problem: string });

/** All runs that have a journal, newest first. One that can't be read must not keep the others from being found. */
async function* runsIn(evidenceDir: string): AsyncGenerator<FoundRun> {
  for (const ref of await runFolders(evidenceDir)) {
    if ((await readFileIfThere(journalFile(ref.runDir))) === undefined) continue;
    try {
      yield { ...ref, events: await readJournal(ref.runDir) };
    } catch (error) {
      yield { ...ref, problem: messageOf(error) };
    }
  }
}

/** The newest run on a VMID whose journal can be read; undefined if there is none. */
export async function newestRunOn(evidenceDir: string, node: string, vmId: number): Promise<KnownRun | undefined> {
  for await (const run of runsIn(evidenceDir)) {
    if (run.problem !== undefined) continue;
    const started = run.events.find((event) => event.type === "run-started");
    if (started?.node === node && started.vmId === vmId) return run;
  }
  return undefined;
}

/** What looking for dead runs gave. */
export interface DeadRuns {
  /** Ids of the runs that were closed as aborted. */
  readonly closed: string[];
  /** Why journals could not be read, one text each. */
  readonly problems: string[];
}

/**
 * Closes every run of this computer that has no evidence and whose process is dead. Runs of another computer are left to it,
 * because a process id means nothing here.
 */
export async function closeDeadRuns(evidenceDir: string, host = hostname()): Promise<DeadRuns> {
  const dead: DeadRuns = { closed: [], problems: [] };
  for await (const run of runsIn(evidenceDir)) {
    if ((await readFileIfThere(join(run.runDir, EVIDENCE))) !== undefined) continue;
    if (run.problem !== undefined) {
      dead.problems.push(run.problem);
      continue;
    }
    // A refusal is one event: only its evidence can be missing.
    if (run.events.some(({ type }) => type === "run-refused")) await writeEvidence(run.runDir);
    const started = run.events.find((event) => event.type === "run-started");
    if (started === undefined || (started.host ?? host) !== host) continue;
    if (await isProcessAlive(started.pid, new Date(started.at))) continue;
    const reason = `the process ${started.pid} that ran it ended without a verdict`;
    if (await closeAsAborted(run, reason)) dead.closed.push(run.runId);
    else await writeEvidence(run.runDir);
  }
  return dead;
}
