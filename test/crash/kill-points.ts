/** Which moments of a command there are, and at which of them it is killed: pure. */

export const PHASES = ["drill up", "drill destroy", "restore up", "restore destroy"] as const;
/** A command and what `pulumi` is at in it. */
export type Phase = (typeof PHASES)[number];

/** Something that a command does. */
export interface Moment {
  readonly phase: Phase;
  /** A call (`GET /nodes/pve/status`) or something local (`state 3+1`, `journal phase-ended`). */
  readonly what: string;
  /** How often it was in this phase until now, from 1. */
  readonly nth: number;
  /** Of a call: before it is made, or after its effect and before its answer. Local moments are always after. */
  readonly when: "before" | "after";
}

/** A moment of a reference run. */
export interface TimedMoment extends Moment {
  /** Milliseconds since the run's beginning. */
  readonly at: number;
}

/** Where a command is killed. */
export interface KillPoint extends Moment {
  /** How long after the moment; 0: exactly there. */
  readonly delayMs: number;
  /** Where it is killed at the latest: writes of state that follow each other at once may be seen as one. */
  readonly latest?: Moment;
  /** Where the same command is killed when it runs again, if it comes there. */
  readonly again?: KillPoint;
}

export function describePoint({ phase, what, nth, when, delayMs, again }: KillPoint): string {
  const then = again === undefined ? "" : `, then ${describePoint(again)}`;
  return `${phase}: ${delayMs > 0 ? `${delayMs} ms ` : ""}${when} ${what} #${nth}${then}`;
}

/** Calls that are repeated until something has come true: how often is chance. */
const POLL = /^GET .*\/(?:tasks\/\{upid\}\/(?:status|log)|exec-status|status\/current)$/;

/** How often a poll is sure to be made. */
const SURE_POLLS = 2;

/**
 * Every boundary of a reference run: before each call, after each that changes something (a look that was answered and one
 * that was not made leave the same), after each local moment. Then `drawn` times between two moments, drawn from the seed; at
 * half of these the command that runs again is killed too, at a boundary.
 */
export function planPoints(runs: readonly (readonly TimedMoment[])[], seed: number, drawn: number): KillPoint[] {
  const random = randomOf(seed);
  const points = runs.flatMap((run) =>
    run.flatMap((moment, at): KillPoint[] => {
      if (!isBoundary(moment)) return [];
      const point = { ...withoutTime(moment), delayMs: 0 };
      const next = run.slice(at).find((later) => !isState(later) && isBoundary(later));
      return [isState(moment) && next !== undefined ? { ...point, latest: withoutTime(next) } : point];
    }),
  );
  const boundaries = [...points];
  const gaps = runs.flatMap((run) =>
    run.slice(0, -1).flatMap((moment, at) => {
      const gapMs = (run[at + 1]?.at ?? 0) - moment.at;
      return gapMs >= MIN_GAP_MS && !(POLL.test(moment.what) && moment.nth > SURE_POLLS) ? [{ moment, gapMs }] : [];
    }),
  );
  while (points.length < boundaries.length + drawn && gaps.length > 0) {
    const { moment, gapMs } = gaps[Math.floor(random() * gaps.length)] as (typeof gaps)[number];
    const known = boundaries.find((boundary) => isSame(boundary, moment)) ?? withoutTime(moment);
    const point: KillPoint = { ...known, delayMs: 1 + Math.floor(random() * (gapMs - 1)) };
    const next = boundaries.filter(({ phase }) => commandOf(phase) === commandOf(point.phase));
    const second = next[Math.floor(random() * next.length)];
    const isTwice = points.length % 2 === 0 && second !== undefined;
    points.push(isTwice ? { ...point, again: second } : point);
  }
  return points;
}

function isBoundary({ what, when, nth }: Moment): boolean {
  if (POLL.test(what)) return when === "before" && nth <= SURE_POLLS;
  return when === "before" || !what.startsWith("GET ");
}

function isState({ what }: Moment): boolean {
  return what.startsWith("state ");
}

export function isSame(left: Moment, right: Moment): boolean {
  return left.phase === right.phase && left.what === right.what && left.when === right.when && left.nth === right.nth;
}

/** `homelab drill` or `homelab restore`. */
export function commandOf(phase: Phase): "drill" | "restore" {
  return phase === "drill up" || phase === "drill destroy" ? "drill" : "restore";
}

/** Shorter gaps are not worth a time of their own. */
const MIN_GAP_MS = 20;

function withoutTime({ phase, what, nth, when }: TimedMoment): Moment {
  return { phase, what, nth, when };
}

/** Some of the points, drawn from the seed, in turn from each phase. */
export function samplePoints(points: readonly KillPoint[], seed: number, count: number): KillPoint[] {
  const random = randomOf(seed);
  const left = PHASES.map((phase) => points.filter((point) => point.phase === phase));
  const sample: KillPoint[] = [];
  for (let turn = 0; sample.length < Math.min(count, points.length); turn++) {
    const own = left[turn % left.length] ?? [];
    sample.push(...own.splice(Math.floor(random() * own.length), 1));
  }
  return sample;
}

/** Numbers from 0 to 1, always the same for a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
