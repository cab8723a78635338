/** Containers of the restored guest, read with few calls: one `docker inspect` serves all checks that wait for one. */
import type { PveClient } from "../../pve/client";
import type { RunRef } from "../contract/run";
import { shorten } from "../text";
import { type Guest, guestOf } from "./guest";

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
    });
  }
  return states;
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
        const result = await this.inspect(names);
        for (const { resolve } of waiters) resolve(result);
      } catch (error) {
        for (const { reject } of waiters) reject(error);
      }
    }
    this.isLooking = false;
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
