/** Runs jest in processes of its own and counts what ran. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";

const REPO_DIR = resolve(__dirname, "../..");

const resultSchema = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  /** Files that could not be run at all. */
  numRuntimeErrorTestSuites: z.number(),
});

/** Numbers of executed and skipped tests. A file that can't be run counts as one failure. */
interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** Of all runs of this process. */
export const totals: Totals = { passed: 0, failed: 0, skipped: 0 };

/** Arguments of Node that run these tests; `resultFile` gets their result. */
export function jestArgs(project: "unit" | "lab", resultFile: string, patterns: readonly string[]): string[] {
  return [
    join(REPO_DIR, "node_modules", "jest", "bin", "jest.js"),
    ...["--selectProjects", project, "--json", `--outputFile=${resultFile}`, "--passWithNoTests"],
    `--reporters=${join(REPO_DIR, "test", "support", "live-reporter.cjs")}`,
    ...(project === "lab" ? ["--runInBand"] : []),
    ...patterns.map((pattern) => `--testPathPatterns=${pattern}`),
  ];
}

export interface JestRun {
  readonly command: (resultFile: string) => { program: string; args: string[] };
  readonly cwd: string;
  /** Default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs jest on this terminal and adds its numbers to the totals. A jest that dies counts as one failure. */
export async function jest({ command, cwd, env }: JestRun): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "homelab-test-"));
  const file = join(dir, "result.json");
  try {
    const { program, args } = command(file);
    const code = await new Promise<number>((done, reject) => {
      // stdout of --json would repeat the result.
      const child = spawn(program, args, { cwd, env: env ?? process.env, stdio: ["ignore", "inherit", "inherit"] });
      child.once("error", reject);
      child.once("close", (status) => done(status ?? 1));
    });
    if (!existsSync(file)) {
      process.stderr.write(`Unable to run the tests: jest ended with code ${code} and no result.\n`);
      totals.failed += 1;
      return;
    }
    const result = resultSchema.parse(JSON.parse(readFileSync(file, "utf8")));
    totals.passed += result.numPassedTests;
    totals.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
    totals.skipped += result.numPendingTests + result.numTodoTests;
    if (code !== 0 && result.numFailedTests + result.numRuntimeErrorTestSuites === 0) totals.failed += 1;
  } finally {
    rmSync(dir, { recursive: true });
  }
}
