/**
 * `homelab drill` and `homelab restore`, killed with everything that they have started, and run again: at each boundary of a
 * reference run and at drawn times between (`npm run test:kills`), or at a few of these. What is real and what is not:
 * `crash-lab.ts`.
 */
import { isDeepStrictEqual } from "node:util";
import { type AfterKill, lookAfterKill, problemsOf } from "./convergence";
import { CrashLab, type Ended, type Stack } from "./crash-lab";
import { commandOf, describePoint, type KillPoint, PHASES, planPoints, samplePoints } from "./kill-points";

/** How many points, or all of them. */
const POINTS = process.env["KILL_POINTS"] ?? "6";
const ALL = POINTS === "all";
const SEED = Number(process.env["KILL_SEED"] ?? 5);
/** Points between two boundaries. */
const DRAWN = 40;

jest.setTimeout((ALL ? 120 : 5 + Number(POINTS)) * 60_000);

/** Homelabs, for as many points at a time: most of a command is waiting. */
const LANES = ALL ? 5 : 3;
let labs: CrashLab[];
beforeAll(async () => {
  labs = await Promise.all(Array.from({ length: LANES }, () => CrashLab.start()));
});
afterAll(async () => {
  for (const lab of labs) await lab[Symbol.asyncDispose]();
});

interface Tried {
  readonly point: KillPoint;
  /** False: the command ended before the moment came. */
  readonly wasKilled: boolean;
  readonly problems: readonly string[];
}

async function tryPoint(lab: CrashLab, point: KillPoint): Promise<Tried> {
  const stack = commandOf(point.phase);
  await lab.reset(stack);
  const before = await lab.untouchable(stack);
  const runs: Ended[] = [];
  let afterKill: AfterKill | undefined;
  for (const target of [point, point.again]) {
    if (target === undefined || runs.some(({ wasKilled }) => !wasKilled)) continue;
    const run = await lab.homelab(stack, target);
    runs.push(run);
    if (run.wasKilled) afterKill = await lookAfterKill(lab);
  }
  if (afterKill === undefined) return { point, wasKilled: false, problems: [] };
  if (runs.every(({ wasKilled }) => wasKilled)) runs.push(await lab.homelab(stack));
  const problems = await problemsOf(lab, stack, afterKill, runs.at(-1));
  if (!isDeepStrictEqual(await lab.untouchable(stack), before)) problems.push("production has changed");
  if (problems.length > 0) problems.push(...runs.map(({ output }) => `-- ran --\n${output}`));
  return { point, wasKilled: true, problems };
}

/** The results of all, but not before the last has ended: a lab that is in use can't be taken down. */
async function both<T>(works: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(works);
  return Promise.all(works);
}

async function reference(lab: CrashLab, stack: Stack): Promise<Ended> {
  await lab.reset(stack);
  const before = await lab.untouchable(stack);
  const ended = await lab.homelab(stack);
  const nothing: AfterKill = { runs: new Map(), disks: "" };
  expect([ended.output, ...(await problemsOf(lab, stack, nothing, ended))]).toEqual([ended.output]);
  expect(await lab.untouchable(stack)).toEqual(before);
  return ended;
}

test("killed at any moment, the same command converges", async () => {
  const [first, second] = labs as [CrashLab, CrashLab];
  const runs = await both([reference(first, "drill"), reference(second, "restore")]);
  const planned = planPoints(
    runs.map(({ moments }) => moments),
    SEED,
    DRAWN,
  );
  const points = ALL ? planned : samplePoints(planned, SEED, Number(POINTS));
  const left = [...points];
  const tried: Tried[] = [];
  await both(
    labs.map(async (lab) => {
      for (let point = left.shift(); point !== undefined; point = left.shift()) {
        const one = await tryPoint(lab, point);
        tried.push(one);
        const outcome = !one.wasKilled ? "not reached" : one.problems.length === 0 ? "converged" : "FAILED";
        process.stdout.write(`  ${tried.length}/${points.length} ${describePoint(point)}: ${outcome}\n`);
        for (const problem of one.problems) process.stdout.write(`    ${problem.replaceAll("\n", "\n    ")}\n`);
      }
    }),
  );
  const summary = PHASES.map((phase) => {
    const own = tried.filter(({ point, wasKilled }) => point.phase === phase && wasKilled);
    return `${phase} ${own.filter(({ problems }) => problems.length === 0).length} of ${own.length}`;
  });
  const killed = tried.filter(({ wasKilled }) => wasKilled);
  const failed = killed.filter(({ problems }) => problems.length > 0);
  process.stdout.write(
    `kill points (seed ${SEED}): ${killed.length} tried, ${killed.length - failed.length} converged (${summary.join(", ")}); ` +
      `${tried.length - killed.length} not reached\n`,
  );
  expect(failed.map(({ point }) => describePoint(point))).toEqual([]);
  expect(killed.length).toBeGreaterThanOrEqual(ALL ? 200 : Number(POINTS) - 2);
});
