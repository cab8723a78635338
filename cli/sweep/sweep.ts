/**
 * `homelab sweep`: removes VMs of drills that nobody removed in time. Only what carries a mark that has expired and what is
 * proved to be its run's own goes, by the same removal as in a destroy; everything else is told and left alone.
 */
import { appendEvent, closeAsAborted } from "../../provider/journal";
import { removeRunVm } from "../../provider/removal";
import type { PveClient } from "../../pve/client";
import type { DrillConfig } from "../../stacks/config";
import { removalLimits } from "../../stacks/removal-limits";
import { claimStack } from "../drill/claim";
import { problemIn, type RunPulumi } from "../drill/pulumi";
import { clearingDeadLocks } from "../drill/stack-lock";
import { readDrillState } from "../drill/stack-state";
import { causeOf } from "../errors";
import { type Bench, type Fate, fateOf, type MarkedVm } from "./fate";
import { markedVm, markedVms } from "./marked";

export interface SweepArgs {
  readonly config: Pick<DrillConfig, "drill" | "files" | "timeouts">;
  readonly client: PveClient;
  readonly pulumi: RunPulumi;
  /** Tells people what else is done on the way, a line each. */
  readonly tell: (line: string) => void;
  /** Tells what would be done and does nothing. */
  readonly dryRun: boolean;
  /** Stack that the caller has claimed. Any other is claimed while its VM goes: no drill of it begins or ends meanwhile. */
  readonly claimed?: string;
  /** Begins no further removal and ends the wait for the one under way. */
  readonly signal: AbortSignal;
  /** Default: the present. */
  readonly now?: Date;
}

/** - `removed` (or would be); `kept`: it may stand; `stuck`: it has to go, and a person has to see to it. */
export type Outcome = "removed" | "kept" | "stuck";

/** What was done about one VM, or why it can't be told. */
export interface Swept {
  readonly outcome: Outcome;
  /** A line for people. */
  readonly text: string;
}

/**
 * Looks at every VM that the token sees, and removes what has expired.
 *
 * @throws Error when the cluster does not answer
 */
export async function sweep(args: SweepArgs): Promise<Swept[]> {
  const { client, config, signal } = args;
  const bench: Bench = { evidenceDir: config.files.evidence, now: args.now ?? new Date() };
  const { marked, unmarked, unseen } = await markedVms(client, config.drill.vmId);
  const swept: Swept[] = [];
  for (const vm of marked) {
    signal.throwIfAborted();
    const { outcome, text } = await sweepOne(args, vm, bench);
    swept.push({ outcome, text: `VM ${vm.vmId} (${vm.config["name"] ?? "without a name"}) on ${vm.node}: ${text}` });
  }
  if (unmarked !== undefined) {
    const { type, vmid, name = "without a name", node } = unmarked;
    const what = `${type === "lxc" ? "Container" : "VM"} ${vmid} (${name}) on ${node}`;
    swept.push({ outcome: "kept", text: `${what}: it has the VMID of drills, but no mark of one; left alone` });
  }
  if (unseen.length > 0) {
    const text =
      `Unable to see every VM: the token lacks VM.Audit on ${unseen.join(", ")}, so expired ones may be left there. ` +
      "Use the drill's token (npm run homelab -- roles).";
    swept.push({ outcome: "stuck", text });
  }
  return swept;
}

/** The sweep before a drill: tells only what was done or is in nobody's hands, and never keeps the drill from beginning. */
export async function sweepBefore(args: Omit<SweepArgs, "dryRun">): Promise<void> {
  try {
    const swept = await sweep({ ...args, dryRun: false });
    for (const { outcome, text } of swept) if (outcome !== "kept") args.tell(text);
  } catch (error) {
    args.signal.throwIfAborted();
    args.tell(`Unable to look for expired VMs of earlier drills: ${causeOf(error)}`);
  }
}

async function sweepOne(args: SweepArgs, vm: MarkedVm, bench: Bench): Promise<Swept> {
  const fate = await fateOf(vm, bench);
  if (fate.kind !== "remove") return spare(fate);
  if (args.dryRun) return { outcome: "removed", text: `would be removed: ${fate.reason}` };
  const { evidenceDir } = bench;
  const { stack } = fate;
  try {
    const claim =
      stack === args.claimed ? undefined : await claimStack({ command: "drill", evidenceDir, stack, inPassing: true });
    try {
      // Before the claim somebody else may have swept the VM, and a drill may have put its own there.
      const now = await markedVm(args.client, vm.node, vm.vmId);
      if (now?.mark.runId !== vm.mark.runId) {
        return { outcome: "kept", text: `left alone: ${fate.reason}, but it has gone meanwhile` };
      }
      const fateNow = await fateOf(now, bench);
      return fateNow.kind === "remove" ? await remove(args, fateNow) : spare(fateNow);
    } finally {
      await claim?.[Symbol.asyncDispose]();
    }
  } catch (error) {
    args.signal.throwIfAborted();
    return { outcome: "stuck", text: `not removed: ${fate.reason}. ${causeOf(error)}` };
  }
}

function spare({ kind, reason }: Exclude<Fate, { kind: "remove" }>): Swept {
  return kind === "keep"
    ? { outcome: "kept", text: `kept: ${reason}` }
    : { outcome: "stuck", text: `left alone: ${reason}` };
}

async function remove(
  { client, config, pulumi, tell, signal }: SweepArgs,
  { run, stack, events, reason }: Extract<Fate, { kind: "remove" }>,
): Promise<Swept> {
  const limits = removalLimits(config.timeouts);
  // Its proof was just seen, so this is the cluster of the run.
  const endpoint = client.host;
  const { gone, detail } = await removeRunVm({ client, signal }, { kind: "drill", run, endpoint, events, limits });
  await closeAsAborted(run, "its VM expired before the run had a verdict, and was swept away");
  if (!gone) return { outcome: "kept", text: `left alone: ${detail}` };
  await appendEvent(run, { type: "removed", detail: `${detail}; swept, because it had expired` });
  const problem = await forget(clearingDeadLocks(pulumi, stack, tell), stack, run.runId);
  if (problem === undefined) return { outcome: "removed", text: `removed: ${reason}` };
  return {
    outcome: "stuck",
    text:
      `removed: ${reason}. Stack ${stack} still names it, and that can't be mended now: ${problem}\n` +
      `Remove the cause and run pulumi destroy -s ${stack}.`,
  };
}

/** Empties the stack whose run it was, so that its next drill can begin. Gives what keeps it from that. */
async function forget(pulumi: RunPulumi, stack: string, runId: string): Promise<string | undefined> {
  try {
    const state = await pulumi(["stack", "export", "-s", stack]);
    if (/no stack named/.test(state.output)) return undefined;
    const { run } = await readDrillState(async () => state, stack);
    if (run?.runId !== runId) return undefined;
    const down = await pulumi(["destroy", "-s", stack, "--yes", "--skip-preview"]);
    return down.code === 0 ? undefined : problemIn(down);
  } catch (error) {
    return causeOf(error);
  }
}
