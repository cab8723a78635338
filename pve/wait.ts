/** Waiting by short polls that grow, with a deadline and an end on request. No fixed sleeps. */
import { setTimeout as delay } from "node:timers/promises";

export interface WaitOptions {
  /** Limit of the whole wait in milliseconds. */
  readonly timeoutMs: number;
  /** Ends the wait at once by throwing the signal's reason. */
  readonly signal?: AbortSignal;
  /** First pause; each further one is half as long again. Default 100 ms. */
  readonly firstPauseMs?: number;
  /** Longest pause. Default 1000 ms. */
  readonly longestPauseMs?: number;
}

/** Longest time that a poll waits for one answer: a server that takes a call and never answers may answer the next one. */
const LONGEST_LOOK_MS = 15_000;

/** Shortest time, so that the last look at the end of a wait can get an answer too. */
const SHORTEST_LOOK_MS = 1000;

/** Limit for one answer within a wait that has this much time left, in milliseconds. */
export function lookMs(leftMs: number): number {
  return Math.max(SHORTEST_LOOK_MS, Math.min(leftMs, LONGEST_LOOK_MS));
}

/**
 * Tries until `attempt` gives something else than undefined, and gives that; undefined when the time is over. `attempt` gets the
 * milliseconds that are left. At least one attempt is made.
 */
export async function pollUntil<T>(
  { timeoutMs, signal, firstPauseMs = 100, longestPauseMs = 1000 }: WaitOptions,
  attempt: (leftMs: number) => Promise<T | undefined>,
): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs;
  let pause = firstPauseMs;
  for (;;) {
    signal?.throwIfAborted();
    const result = await attempt(Math.max(1, deadline - performance.now()));
    if (result !== undefined) return result;
    const left = deadline - performance.now();
    if (left <= 0) return undefined;
    await delay(Math.min(pause, left), undefined, { signal }).catch((error: unknown) => {
      // Node throws an error of its own instead of the reason.
      signal?.throwIfAborted();
      throw error;
    });
    pause = Math.min(pause * 1.5, longestPauseMs);
  }
}
