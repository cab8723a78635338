/** The container check: up, healthy, and not restarting while the other checks run. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil } from "../../pve/wait";
import { type ContainerState, type ContainerWatch, describe, type Look, upState } from "./containers";
import type { Guest } from "./guest";
import { notYet, type Outcome, passed, tryUntilDone } from "./outcome";

/** What is looked at. */
export interface ContainerCheck {
  readonly container: string;
  /** Whether Docker's health status must become `healthy`; else the container must be running. */
  readonly hasHealthCheck: boolean;
}

/** From the moment a container is up to the last look at its restart count. Restarts before it belong to the boot. */
export interface CheckWindow {
  /** Ends not before this. */
  readonly othersDone: () => Promise<unknown>;
  readonly atLeastMs: number;
}

/** How long Docker may be silent at the end of the window. */
const LAST_LOOK_MS = 30_000;

/**
 * Waits until the container is up, then until the window's end, and compares: a restart in between is a failure. A look that
 * Docker does not answer says nothing about the container and is made again.
 */
export async function checkContainer(
  guest: Guest,
  watch: ContainerWatch,
  check: ContainerCheck,
  { othersDone, atLeastMs }: CheckWindow,
): Promise<Outcome> {
  let first: { state: ContainerState; at: number } | undefined;
  const up = await tryUntilDone(guest, async () => {
    const result = upState(check.container, await watch.look(check.container));
    if ("attempt" in result) return result.attempt;
    const { state } = result;
    if (check.hasHealthCheck && state.health !== "healthy") return notYet(describe(state));
    first = { state, at: performance.now() };
    return passed(describe(state));
  });
  if (up.status !== "passed" || first === undefined) return up;
  await othersDone();
  await delay(Math.max(0, atLeastMs - (performance.now() - first.at)), undefined, { signal: guest.signal });
  return compare(check, first.state, await lastLook(guest, watch, check.container), up);
}

async function lastLook(guest: Guest, watch: ContainerWatch, container: string): Promise<Look> {
  let look: Look = { problem: "it was not asked" };
  const wait = { timeoutMs: LAST_LOOK_MS, signal: guest.signal, firstPauseMs: 500 };
  await pollUntil(wait, async () => {
    look = await watch.look(container);
    return "problem" in look ? undefined : look;
  });
  return look;
}

function compare(check: ContainerCheck, first: ContainerState, look: Look, up: Outcome): Outcome {
  if ("problem" in look) {
    return { status: "failed", detail: `${up.detail}; at the end Docker did not answer: ${look.problem}` };
  }
  const last = look.states.get(check.container);
  if (last === undefined)
    return { status: "failed", detail: `container ${check.container} went away during the checks` };
  if (last.restartCount !== first.restartCount || last.startedAt !== first.startedAt) {
    const detail = `${describe(last)}; it restarted during the checks (restart count ${first.restartCount}, then ${last.restartCount})`;
    return { status: "failed", detail };
  }
  if (last.status !== "running" || (check.hasHealthCheck && last.health !== "healthy")) {
    return { status: "failed", detail: `${describe(last)} at the end of the checks` };
  }
  return { status: "passed", detail: `${describe(last)}, no restart during the checks` };
}
