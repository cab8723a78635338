/** One check from its start to its line in the journal. */
import type { CheckResult } from "../contract/checks";
import type { StepStatus } from "../contract/restore";
import type { RunRef } from "../contract/run";
import type { ProviderContext } from "../definition";
import { appendEvent } from "../journal";
import { messageOf } from "../text";
import type { Outcome } from "./outcome";

/** What a check is called in the evidence. */
export type CheckLabel = Pick<CheckResult, "service" | "name" | "kind" | "mandatory">;

/**
 * Runs one check and writes its result into the journal. An unexpected error is a failed check; a cancelled check is none:
 * undefined.
 */
export async function recorded(
  { signal, report }: ProviderContext,
  run: RunRef,
  label: CheckLabel,
  check: () => Promise<Outcome>,
): Promise<CheckResult | undefined> {
  const startedAt = new Date().toISOString();
  let outcome: Outcome;
  try {
    outcome = await check();
  } catch (error) {
    if (signal.aborted) return undefined;
    outcome = { status: "failed", detail: messageOf(error) };
  }
  const { status, detail, finding } = outcome;
  const result: CheckResult = { ...label, status, detail, startedAt, endedAt: new Date().toISOString() };
  report(status === "passed" ? "progress" : "warning", `${label.name} ${status}: ${detail}`);
  await appendEvent(run, { type: "check", ...result });
  if (finding !== undefined) await appendEvent(run, { type: "finding", text: finding });
  return result;
}

/** Waits for all, also when one throws, so that nothing runs on unseen. */
export async function allResults(checks: readonly Promise<CheckResult | undefined>[]): Promise<CheckResult[]> {
  await Promise.allSettled(checks);
  return (await Promise.all(checks)).filter((result) => result !== undefined);
}

/** The worst status of some results. */
export function worstOf(results: readonly CheckResult[]): StepStatus {
  const statuses = results.map(({ status }) => status);
  return statuses.includes("failed") ? "failed" : statuses.includes("skipped") ? "skipped" : "passed";
}
