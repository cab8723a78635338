/** What must hold after a command was killed and the same command was run again. Collected as texts, because there are hundreds. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Evidence, evidenceSchema, type JournalEvent } from "../../provider/contract/evidence";
import { readJournalIfThere } from "../../provider/journal";
import { forbiddenCalls } from "../support/drill-calls";
import type { CrashLab, Ended, Stack } from "./crash-lab";
import { diskFiles, DRILL_VM, notAsInArchive, PROD_VM } from "./homelab-state";

/** What there was just after the kill. */
export interface AfterKill {
  /** Journals by run. */
  readonly runs: ReadonlyMap<string, readonly JournalEvent[]>;
  /** Identity of VM 200's disk files. */
  readonly disks: string;
}

export async function lookAfterKill(lab: CrashLab): Promise<AfterKill> {
  const runs = new Map<string, readonly JournalEvent[]>();
  for (const run of runsOf(lab)) runs.set(run, await readJournalIfThere(join(lab.evidenceDir, run)));
  return { runs, disks: await diskFiles(lab.apis, PROD_VM) };
}

/** What does not hold; nothing if the command converged. */
export async function problemsOf(
  lab: CrashLab,
  stack: Stack,
  killed: AfterKill,
  again: Ended | undefined,
): Promise<string[]> {
  const problems = again?.code === 0 ? [] : [`the same command ended with ${again?.code}`];
  problems.push(...(await remains(lab, stack)));
  problems.push(...(stack === "restore" ? await notAsInArchive(lab.apis) : []));
  problems.push(...(await evidenceProblems(lab, stack, killed)));
  problems.push(...forbidden(lab, stack));
  return problems;
}

/** What a command leaves that it must not leave. */
async function remains(lab: CrashLab, stack: Stack): Promise<string[]> {
  const { guests, volumes, tasks } = lab.lab;
  const { deployment } = JSON.parse(await lab.state(stack).then(withoutCheckpoint)) as State;
  const claims = readdirSync(lab.evidenceDir, { withFileTypes: true }).filter((entry) => entry.isFile());
  return [
    ...(guests.exists(DRILL_VM) ? [`VM ${DRILL_VM}`] : []),
    ...(await volumes.images()).filter(({ vmId }) => vmId === DRILL_VM).map(({ volid }) => volid),
    ...tasks
      .list()
      .filter(({ status }) => status === "running")
      .map(({ upid }) => upid),
    ...guests
      .list()
      .filter((vmId) => guests.read(vmId).current["lock"] !== undefined)
      .map((vmId) => `the lock of VM ${vmId}`),
    ...lab
      .locks()
      // What stands beside a lock is none.
      .filter((name) => !name.endsWith(".attrs"))
      .map((name) => `Pulumi's lock ${name}`),
    ...(deployment?.resources ?? []).map(({ urn }) => `${urn} in the state`),
    ...(deployment?.pending_operations ?? []).map(() => "a pending operation in the state"),
    ...claims.map(({ name }) => `the file ${name} in the evidence`),
  ].map((what) => `there is still ${what}`);
}

interface State {
  readonly deployment?: {
    readonly resources?: readonly { readonly urn: string }[] | null;
    readonly pending_operations?: readonly unknown[] | null;
  };
}

/** Pulumi's file holds the deployment as `checkpoint.latest`. */
function withoutCheckpoint(text: string): string {
  const { checkpoint } = JSON.parse(text) as { checkpoint?: { latest?: unknown } };
  return JSON.stringify({ deployment: checkpoint?.latest });
}

/** Verdicts: what was not ended when it was killed is aborted, what was ended stays, and one new run has passed. */
async function evidenceProblems(lab: CrashLab, stack: Stack, { runs, disks }: AfterKill): Promise<string[]> {
  const problems: string[] = [];
  for (const [run, before] of runs) {
    const ended = before.find((event) => event.type === "run-ended");
    const verdict = evidenceOf(lab, run)?.verdict;
    const wanted = ended?.verdict ?? (before.length === 0 ? undefined : "aborted");
    if (verdict !== wanted) problems.push(`the killed run ${run} is ${verdict}, not ${wanted}`);
    const after = await readJournalIfThere(join(lab.evidenceDir, run));
    if (JSON.stringify(after.slice(0, before.length)) !== JSON.stringify(before))
      problems.push(`the journal of ${run} was rewritten`);
  }
  const events = [...runs.values()].flat();
  const fresh = runsOf(lab).filter((run) => !runs.has(run));
  const wasOver = stack === "restore" && events.some(({ type }) => type === "run-ended" && hasPassed(events));
  const verdicts = fresh.map((run) => evidenceOf(lab, run)?.verdict);
  const wanted = wasOver ? "none" : "passed";
  if ((verdicts.join() || "none") !== wanted) problems.push(`new runs: ${verdicts.join() || "none"}, not ${wanted}`);
  if (stack === "drill") return problems;
  const wasHandedOver = events.some(({ type }) => type === "handed-over");
  if (wasHandedOver && (await diskFiles(lab.apis, PROD_VM)) !== disks) {
    problems.push("the VM was handed over, but was restored anew");
  }
  for (const run of fresh) {
    const [started] = await readJournalIfThere(join(lab.evidenceDir, run));
    const resumes = started?.type === "run-started" && started.resumes !== undefined;
    if (resumes !== wasHandedOver) problems.push(`run ${run} ${resumes ? "goes on" : "begins anew"}`);
  }
  return problems;
}

function hasPassed(events: readonly JournalEvent[]): boolean {
  return events.some((event) => event.type === "run-ended" && event.verdict === "passed");
}

function forbidden(lab: CrashLab, stack: Stack): string[] {
  const requests = lab.requests();
  if (stack === "drill") return forbiddenCalls(requests, DRILL_VM);
  const others = requests.filter(({ method, path }) => `${method} ${path}` !== `PUT /nodes/pve/qemu/${PROD_VM}/config`);
  return forbiddenCalls(others, PROD_VM);
}

function runsOf(lab: CrashLab): string[] {
  const entries = readdirSync(lab.evidenceDir, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

function evidenceOf(lab: CrashLab, run: string): Evidence | undefined {
  const file = join(lab.evidenceDir, run, "drill.json");
  return existsSync(file) ? evidenceSchema.parse(JSON.parse(readFileSync(file, "utf8"))) : undefined;
}
