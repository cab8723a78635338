/** Containers of the restored guest, read with few calls: one `docker inspect` serves all checks that wait for one. */
import type { PveClient } from "../../pve/client";
import type { RunRef } from "../contract/run";
import { shorten } from "../text";
import { type Guest, guestOf } from "./guest";
import { type Attempt, failed, notYet } from "./outcome";

/** A container as Docker reports it. */
export interface ContainerState {
  readonly name: string;
  /** `running`, `exited`, `restarting`, `created`, `paused`, `dead`. */
  readonly status: string;
  /** `healthy`, `unhealthy`, `starting`; empty without a health check. */
  readonly health: string;
  readonly restartCount: number;
  readonly exitCode: number;
  readonly startedAt: string;
  /** Milliseconds for which the watch has seen it stopped; 0 while it is not. */
  readonly stoppedMs: number;
}

/** One look at some containers. */
export type Look =
  | { readonly states: ReadonlyMap<string, ContainerState> }
  /** The engine did not answer. */
  | { readonly problem: string };

const FORMAT =
  "{{.Name}}\t{{.State.Status}}\t{{with .State.Health}}{{.Status}}{{end}}\t{{.RestartCount}}\t{{.State.ExitCode}}\t{{.State.StartedAt}}";

/** Reads the lines that `docker inspect` prints in our format. */
export function parseStates(text: string): Map<string, ContainerState> {
  const states = new Map<string, ContainerState>();
  for (const line of text.split("\n")) {
    const [path, status, health, restartCount, exitCode, startedAt] = line.split("\t");
    if (path === undefined || status === undefined || startedAt === undefined) continue;
    const name = path.replace(/^\//, "");
    states.set(name, {
      ...{ name, status, startedAt, health: health ?? "" },
      restartCount: Number(restartCount),
      exitCode: Number(exitCode),
      stoppedMs: 0,
    });
  }
  return states;
}

/** A container's state for people. */
export function describe({ name, status, health, exitCode, restartCount }: ContainerState): string {
  const restarts = restartCount === 0 ? "" : `, restart count ${restartCount}`;
  if (status === "running") return `container ${name} is running${health === "" ? "" : ` and ${health}`}${restarts}`;
  return `container ${name} is ${status} with exit code ${exitCode}${restarts}`;
}

/** The engine starts containers at boot; one that is still stopped after this time stays stopped. */
const STOPPED_MS = 20_000;

/** State of a container that runs, or what a look means otherwise. A container that is not there or stays stopped is final. */
export function upState(
  name: string,
  result: Look,
): { readonly state: ContainerState } | { readonly attempt: Attempt } {
  if ("problem" in result) return { attempt: notYet(`Docker does not answer: ${result.problem}`) };
  const state = result.states.get(name);
  if (state === undefined) return { attempt: failed(`container ${name} does not exist in the restored VM`) };
  if (state.status === "running") return { state };
  return { attempt: state.stoppedMs >= STOPPED_MS ? failed(describe(state)) : notYet(describe(state)) };
}

async function look(guest: Guest, names: readonly string[]): Promise<Look> {
  const command = ["docker", "inspect", "--type", "container", "--format", FORMAT, ...names];
  const { exitCode, stdout, stderr } = await guest.run(command);
  const isAnswer = exitCode === 0 || /No such container/.test(stderr);
  return isAnswer ? { states: parseStates(stdout) } : { problem: shorten(stderr || `docker ended with ${exitCode}`) };
}

/**
 * Looks at containers for several checks at once. A look that is asked for while another runs waits for the next one, which
 * then serves everybody who waits.
 */
export class ContainerWatch {
  private readonly waiting = new Map<string, { resolve: (look: Look) => void; reject: (error: unknown) => void }[]>();
  private readonly stoppedSince = new Map<string, number>();
  private isLooking = false;

  constructor(private readonly inspect: (names: readonly string[]) => Promise<Look>) {}

  /** State of one container at a moment after this call. */
  async look(name: string): Promise<Look> {
    return new Promise((resolve, reject) => {
      this.waiting.set(name, [...(this.waiting.get(name) ?? []), { resolve, reject }]);
      if (!this.isLooking) void this.serve();
    });
  }

  private async serve(): Promise<void> {
    this.isLooking = true;
    // Checks of one moment come one after the other; let them all in before the first look.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.size > 0) {
      const names = [...this.waiting.keys()];
      const waiters = [...this.waiting.values()].flat();
      this.waiting.clear();
      try {
        const result = this.withStoppedTime(await this.inspect(names));
        for (const { resolve } of waiters) resolve(result);
      } catch (error) {
        for (const { reject } of waiters) reject(error);
      }
    }
    this.isLooking = false;
  }

  private withStoppedTime(result: Look): Look {
    if ("problem" in result) return result;
    const states = [...result.states].map(([name, state]): [string, ContainerState] => {
      if (!["exited", "created", "dead"].includes(state.status)) {
        this.stoppedSince.delete(name);
        return [name, state];
      }
      const since = this.stoppedSince.get(name) ?? performance.now();
      this.stoppedSince.set(name, since);
      return [name, { ...state, stoppedMs: performance.now() - since }];
    });
    return { states: new Map(states) };
  }
}

const watches = new Map<string, ContainerWatch>();

/** The watch of a run's guest, shared by all services that are checked side by side. */
export function watchOf(client: PveClient, run: RunRef, signal: AbortSignal): ContainerWatch {
  const known = watches.get(run.runId);
  if (known !== undefined) return known;
  const watch = new ContainerWatch((names) => look(guestOf(client, run, LOOK_MS, signal), names));
  watches.set(run.runId, watch);
  return watch;
}

const LOOK_MS = 60_000;
