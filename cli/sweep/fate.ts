/** What is to become of a VM that carries the mark of a run: judged by the mark, the run's journal and the clock. Changes nothing. */
import { hostname } from "node:os";
import { join } from "node:path";
import type { JournalEvent } from "../../provider/contract/evidence";
import type { RunRef } from "../../provider/contract/run";
import { journalFile, readJournalIfThere } from "../../provider/journal";
import { type Mark, ownershipOf } from "../../provider/ownership";
import { isProcessAlive } from "../../provider/process-alive";
import { causeOf } from "../errors";

/** A VM of the cluster that carries a mark, whoever put it there. */
export interface MarkedVm {
  readonly vmId: number;
  readonly node: string;
  readonly mark: Mark;
  readonly config: Readonly<Record<string, string>>;
}

/**
 * - `keep`: it may stand.
 * - `remove`: it has expired and is proved to be the run's own.
 * - `stuck`: it has expired, but it is not proved or its run may go on elsewhere: a person has to look.
 */
export type Fate =
  | { readonly kind: "keep" | "stuck"; readonly reason: string }
  | {
      readonly kind: "remove";
      readonly run: RunRef;
      /** Stack that made it. */
      readonly stack: string;
      readonly events: readonly JournalEvent[];
      /** Why. */
      readonly reason: string;
    };

/** Where and when the judge stands. */
export interface Bench {
  readonly evidenceDir: string;
  readonly now: Date;
}

/** Judges one VM. The proof is the one that a destroy asks for: marker, name and UUID of the run's journal, on the run's VMID. */
export async function fateOf(vm: MarkedVm, { evidenceDir, now }: Bench): Promise<Fate> {
  const { vmId, config } = vm;
  const { runId, expiresAt } = vm.mark;
  const keep = (reason: string): Fate => ({ kind: "keep", reason });
  if (runId.includes("-emergency-")) return keep(`run ${runId} brings production back, which no sweep removes`);
  if (expiresAt === undefined) return keep(`the mark of run ${runId} names no expiry; pulumi destroy removes it`);
  if (expiresAt > now) return keep(`run ${runId} expires at ${printTime(expiresAt)}`);

  const expired = `run ${runId} expired at ${printTime(expiresAt)}`;
  const byHand = `Make sure that nobody needs the VM and remove it by hand (qm stop ${vmId}, qm destroy ${vmId}).`;
  const stuck = (cause: string, advice: string): Fate => ({
    kind: "stuck",
    reason: `${expired}, but ${cause}. ${advice}`,
  });
  const runDir = join(evidenceDir, runId);
  let events: readonly JournalEvent[];
  try {
    events = await readJournalIfThere(runDir);
  } catch (error) {
    return stuck(causeOf(error).replace(/\.$/, ""), byHand);
  }
  const started = events.find((event) => event.type === "run-started");
  if (started === undefined) {
    const where = `Sweep where ${journalFile(runDir)} is, or put it back.`;
    return stuck("its journal is not here, so nothing proves that the VM is the run's", `${where} ${byHand}`);
  }
  if (started.kind !== "drill" || started.vmId !== vmId) {
    return stuck(`its VM was ${started.vmId}, so this is a copy at most`, byHand);
  }
  const { node, vmName, vmUuid, stack } = started;
  const run: RunRef = { runId, runDir, node, vmId, vmName, vmUuid };
  if (ownershipOf(config, run) !== "own") {
    const name = config["name"] ?? "";
    const what = name === vmName ? "its UUID is not the run's" : `its name is "${name}" and not "${vmName}"`;
    return stuck(`${what}, so it is not proved to be the run's`, byHand);
  }
  if (!events.some(({ type }) => type === "run-ended")) {
    const { pid, host = hostname() } = started;
    if (host !== hostname()) {
      return stuck(
        `the run began on computer ${host} and has no end, so it may go on there`,
        "Sweep on that computer.",
      );
    }
    if (await isProcessAlive(pid, new Date(started.at))) return keep(`${expired}, but its process ${pid} still runs`);
  }
  return { kind: "remove", run, stack, events, reason: expired };
}

function printTime(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}
