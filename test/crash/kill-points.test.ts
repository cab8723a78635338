/** The plan of kill points by itself. */
import { type Phase, planPoints, samplePoints, type TimedMoment } from "./kill-points";

function moment(phase: Phase, what: string, at: number, more: Partial<TimedMoment> = {}): TimedMoment {
  return { phase, what, nth: 1, when: "before", at, ...more };
}

const STATUS = "GET /nodes/pve/tasks/{upid}/status";
const RUN: TimedMoment[] = [
  moment("drill up", "GET /nodes", 0),
  moment("drill up", "GET /nodes", 5, { when: "after" }),
  moment("drill up", "POST /nodes/pve/qemu", 100),
  moment("drill up", "POST /nodes/pve/qemu", 110, { when: "after" }),
  ...[1, 2, 3].map((nth) => moment("drill up", STATUS, 110 + nth * 100, { nth })),
  moment("drill destroy", "journal removed", 600, { when: "after" }),
];

const names = (seed: number, drawn: number): string[] =>
  planPoints([RUN], seed, drawn).map(({ when, what, nth, delayMs }) => `${when} ${what} ${nth} ${delayMs}`);

test("every boundary is a point: before each call, after each that changes something, after what is local", () => {
  expect(names(1, 0)).toEqual([
    "before GET /nodes 1 0",
    "before POST /nodes/pve/qemu 1 0",
    "after POST /nodes/pve/qemu 1 0",
    `before ${STATUS} 1 0`,
    `before ${STATUS} 2 0`,
    "after journal removed 1 0",
  ]);
});

test("a write of state has a latest moment, because it may be seen as one with the next", () => {
  const run = [
    moment("drill up", "state 1+1", 0, { when: "after" }),
    moment("drill up", "state 2+0", 1, { when: "after" }),
    moment("drill up", "GET /nodes", 5, { when: "after" }),
    moment("drill up", "POST /nodes/pve/qemu", 9),
  ];
  const latest = { phase: "drill up", what: "POST /nodes/pve/qemu", nth: 1, when: "before" };
  expect(planPoints([run], 1, 0)).toMatchObject([{ what: "state 1+1", latest }, { what: "state 2+0", latest }, latest]);
});

test("further ones lie between two moments, always the same for a seed", () => {
  const drawn = planPoints([RUN], 1, 50).slice(6);
  expect(drawn).toHaveLength(50);
  for (const { what, when, nth, delayMs } of drawn) {
    const at = RUN.findIndex((one) => one.what === what && one.when === when && one.nth === nth);
    expect(delayMs).toBeGreaterThan(0);
    expect(delayMs).toBeLessThan((RUN[at + 1]?.at ?? 0) - (RUN[at]?.at ?? 0));
  }
  expect(names(1, 50)).toEqual(names(1, 50));
  expect(names(2, 50)).not.toEqual(names(1, 50));
});

test("half of the drawn ones are followed by another, at a boundary of the same command", () => {
  const twice = planPoints([RUN], 1, 50).flatMap(({ again }) => again ?? []);
  expect(twice).toHaveLength(25);
  expect(twice.every(({ delayMs, phase }) => delayMs === 0 && phase.startsWith("drill"))).toBe(true);
});

test("a sample takes from each phase in turn and no point twice", () => {
  const points = planPoints([RUN], 1, 0);
  const sample = samplePoints(points, 3, 4);
  expect(new Set(sample).size).toBe(4);
  expect(sample.filter(({ phase }) => phase === "drill destroy")).toHaveLength(1);
  expect(samplePoints(points, 3, 99)).toHaveLength(points.length);
});
