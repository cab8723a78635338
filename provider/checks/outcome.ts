/** What one check found, and how long to try. */
import { pollUntil } from "../../pve/wait";
import type { StepStatus } from "../contract/restore";
import { type Guest, NotTried } from "./guest";

/** Result of a check. `detail` says what was seen; for a failure also what was expected. */
export interface Outcome {
  readonly status: StepStatus;
  readonly detail: string;
  /** Goes into the evidence's findings; does not change the verdict. */
  readonly finding?: string;
}

/** Why nothing is checked in a guest that did not boot or has a way out. */
export const NOT_READY: Outcome = {
  status: "skipped",
  detail: "the restored VM did not boot or is not shown to be isolated",
};

/** One try: a final outcome, or what was seen so far. */
export type Attempt = { readonly outcome: Outcome } | { readonly lastSeen: string };

export const passed = (detail: string): Attempt => ({ outcome: { status: "passed", detail } });
export const failed = (detail: string): Attempt => ({ outcome: { status: "failed", detail } });
export const notYet = (lastSeen: string): Attempt => ({ lastSeen });

/** Tries until there is an outcome or the guest's time is over. What could not be tried is skipped, never passed. */
export async function tryUntilDone(guest: Guest, attempt: () => Promise<Attempt>): Promise<Outcome> {
  let lastSeen = "nothing yet";
  try {
    const outcome = await pollUntil(
      { timeoutMs: Math.max(0, guest.leftMs()), signal: guest.signal, firstPauseMs: 500, longestPauseMs: 3000 },
      async () => {
        const result = await attempt();
        if ("outcome" in result) return result.outcome;
        lastSeen = result.lastSeen;
        return undefined;
      },
    );
    return outcome ?? { status: "failed", detail: `not passed in time; last seen: ${lastSeen}` };
  } catch (error) {
    if (error instanceof NotTried) return { status: "skipped", detail: error.message };
    throw error;
  }
}
