/**
 * `npm run bench [-- --check] [PART…]`: measures, prints one Markdown table and keeps the figures as JSON in the cache. A missed
 * target is a line in the table; with `--check` it also makes the exit code 1. PART is `engine`, `previews` or `drill` (which brings a whole lab up, about 15 minutes); without one all run.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { cacheDir } from "../toolchain/cache";
import { causeOf, type Log } from "../toolchain/process";
import { measureDrill } from "./drill-speed";
import { measureEngine } from "./engine-speed";
import { type Line, missesTarget, printTable } from "./measurement";
import { measurePreviews } from "./preview-speed";

const PARTS: Readonly<Record<string, (log: Log) => Promise<Line[]>>> = {
  engine: measureEngine,
  previews: measurePreviews,
  drill: measureDrill,
};

async function main(args: readonly string[]): Promise<void> {
  const names = args.filter((arg) => arg !== "--check");
  const unknown = names.filter((name) => PARTS[name] === undefined);
  if (unknown.length > 0) {
    throw new Error(
      `Unable to run the bench: no part "${unknown.join('", "')}". Use ${Object.keys(PARTS).join(", ")}.`,
    );
  }
  const load = [loadAverage()];
  const lines: Line[] = [];
  for (const [name, measure] of Object.entries(PARTS)) {
    if (names.length === 0 || names.includes(name)) lines.push(...(await measure(log)));
  }
  load.push(loadAverage());
  console.log(`${printTable(lines)}\n`);
  console.log(
    `${availableParallelism()} cores, load before and after: ${load.join(", ")}. Compare ratios, not seconds.`,
  );
  const dir = join(cacheDir(), "bench");
  await mkdir(dir, { recursive: true });
  await writeFile(
    join(dir, "last-run.json"),
    `${JSON.stringify({ cores: availableParallelism(), load, lines }, undefined, 2)}\n`,
  );
  if (args.includes("--check") && lines.some(missesTarget)) process.exitCode = 1;
}

/** Progress goes to stderr, the table to stdout. */
function log(line: string): void {
  console.error(line);
}

/** Of the last minute. Work of others on the machine shows in it. */
function loadAverage(): string {
  return (loadavg()[0] ?? 0).toFixed(1);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(causeOf(error));
  process.exitCode = 1;
});
