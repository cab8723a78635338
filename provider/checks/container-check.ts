/** The container check: up, healthy, and not restarting while the other checks run. */
import { setTimeout as delay } from "node:timers/promises";
import { type ContainerState, type ContainerWatch, type Look } from "./containers";
import type { Guest } from "./guest";
import { type Attempt, failed, notYet, type Outcome, passed, tryUntilDone } from "./outcome";

/** What is looked at. */
export interface ContainerCheck {
  readonly container: string;
  /** Whether Docker's health status must become `healthy`; else the container must be running. */
  readonly hasHealthCheck: boolean;
}

/** From the first sight of a running container to the last look at its restart count. */
export interface CheckWindow {
  /** Ends not before this. */
  readonly othersDone: Promise<unknown>;
  readonly atLeastMs: number;
}

/** The engine starts containers at boot; one that is still stopped after this time stays stopped. */
const STOPPED_MS = 20_000;

/**
 * Waits until the container is up, then until the window's end, and compares: a restart in between is a failure.
 */
export async function checkContainer(
  guest: Guest,
  watch: ContainerWatch,
  check: ContainerCheck,
  { othersDone, atLeastMs }: CheckWindow,
): Promise<Outcome> {
  let first: { state: ContainerState; at: number } | undefined;
  let stoppedSince: number | undefined;
  const up = await tryUntilDone(guest, async () => {
    const { attempt, state } = judge(check, await watch.look(check.container));
    if (state?.status === "running") first ??= { state, at: performance.now() };
    stoppedSince = state !== undefined && isStopped(state) ? (stoppedSince ?? performance.now()) : undefined;
    const isFinal = stoppedSince !== undefined && performance.now() - stoppedSince >= STOPPED_MS;
    return isFinal && "lastSeen" in attempt ? failed(attempt.lastSeen) : attempt;
  });
  if (up.status !== "passed" || first === undefined) return up;
  await othersDone;
  await delay(Math.max(0, atLeastMs - (performance.now() - first.at)), undefined, { signal: guest.signal });
  return compare(check, first.state, await watch.look(check.container), up);
}

/** What one look means before the container is up. */
function judge(check: ContainerCheck, look: Look): { attempt: Attempt; state?: ContainerState } {
  if ("problem" in look) return { attempt: notYet(`Docker does not answer: ${look.problem}`) };
  const state = look.states.get(check.container);
  if (state === undefined) return { attempt: failed(`container ${check.container} does not exist in the restored VM`) };
  if (state.status !== "running") return { attempt: notYet(describe(state)), state };
  if (check.hasHealthCheck && state.health !== "healthy") return { attempt: notYet(describe(state)), state };
  return { attempt: passed(describe(state)), state };
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

function isStopped({ status }: ContainerState): boolean {
  return status === "exited" || status === "created" || status === "dead";
}

function describe({ name, status, health, exitCode, restartCount }: ContainerState): string {
  const restarts = restartCount === 0 ? "" : `, restarted ${restartCount} times`;
  if (status === "running") return `container ${name} is running${health === "" ? "" : ` and ${health}`}${restarts}`;
  return `container ${name} is ${status} with exit code ${exitCode}${restarts}`;
}
