/** How long `pulumi preview -s prod` takes, and how that grows with the number of services. */
import { type Log } from "../toolchain/process";
import { type Line } from "./measurement";
import { KEPT_SERVICES, PreviewHomelab } from "./preview-homelab";

const MIDDLE = 30;
const MANY = 300;
const RUNS = 3;
/** From the project's requirements, on the machine on which it was written: 2 cores. */
const MIDDLE_SECONDS = 2.5;
/** Linear: a service among many may cost hardly more than a service among few. */
const GROWTH = 1.25;

export async function measurePreviews(log: Log): Promise<Line[]> {
  await using homelab = await PreviewHomelab.create();
  const empty = await best("preview of an empty program", () => homelab.previewEmpty(), log);
  const seconds: number[] = [];
  for (const services of [KEPT_SERVICES, MIDDLE, MANY]) {
    await homelab.growTo(services);
    seconds.push(await best(`preview of ${services} services`, () => homelab.preview(), log));
  }
  const [few = Number.NaN, middle = Number.NaN, many = Number.NaN] = seconds;
  const made = `creates everything, lab API without machines; best of ${RUNS}`;
  return [
    { what: "preview of an empty program", value: empty, unit: "s", detail: `Pulumi itself; best of ${RUNS}` },
    { what: `preview, ${KEPT_SERVICES} services`, value: few, unit: "s", detail: made },
    { what: `preview, ${MIDDLE} services`, value: middle, unit: "s", detail: made, target: { atMost: MIDDLE_SECONDS } },
    { what: `preview, ${MIDDLE} services, against an empty program`, value: middle / empty, unit: "x", detail: made },
    { what: `preview, ${MANY} services`, value: many, unit: "s", detail: made },
    growth(few, middle, many),
  ];
}

/** Time per service between the middle and many, against that between few and the middle. 1 is linear. */
export function growth(few: number, middle: number, many: number): Line {
  const early = ((middle - few) / (MIDDLE - KEPT_SERVICES)) * 1000;
  const late = ((many - middle) / (MANY - MIDDLE)) * 1000;
  return {
    what: "preview, growth of the time per service",
    value: late / early,
    unit: "x",
    detail: `${early.toFixed(1)} ms for each up to ${MIDDLE} services, ${late.toFixed(1)} ms for each up to ${MANY}`,
    target: { atMost: GROWTH },
  };
}

async function best(what: string, measure: () => Promise<number>, log: Log): Promise<number> {
  let least = Infinity;
  for (let index = 1; index <= RUNS; index++) {
    log(`${what}, run ${index} of ${RUNS} …`);
    least = Math.min(least, await measure());
  }
  return least;
}
