/** Compiles the programs of the container images from their published Go modules. */
import { cp, mkdir, readFile } from "node:fs/promises";
import * as path from "node:path";

import { contentKey, ensureCached } from "../../toolchain/cache";
import { causeOf, type Log, run, withProgress } from "../../toolchain/process";
import type { GoProgram } from "./recipe";

const SOURCES = path.join(__dirname, "go");

/**
 * Returns the path of the compiled program, which needs no library (no cgo). Its go.mod and go.sum lie in `go/<name>`; the
 * result is cached by them. Throws when Go is missing or the build fails.
 */
export async function ensureGoProgram(program: GoProgram, cache: string, log: Log): Promise<string> {
  const sources = path.join(SOURCES, program.name);
  const { coldSeconds, ...inputs } = program;
  const target = { GOOS: "linux", GOARCH: "amd64" };
  const key = await contentKey([{ path: sources }, { text: JSON.stringify({ ...inputs, ...target }) }]);
  const dir = await ensureCached(path.join(cache, `go-${program.name}-${key}`), log, async (empty) => {
    const what = `building ${program.name} from Go modules (about ${coldSeconds} s without caches)`;
    await withProgress(log, what, async (report) => {
      const source = path.join(empty, "source");
      await cp(sources, source, { recursive: true });
      await mkdir(path.join(empty, "bin"));
      const output = path.join(empty, "bin", program.name);
      await compile(program, { source, output, env: { ...process.env, ...target } }, report);
    });
  });
  return path.join(dir, "bin", program.name);
}

async function compile(
  program: GoProgram,
  args: { source: string; output: string; env: NodeJS.ProcessEnv },
  report: (detail: string) => void,
): Promise<void> {
  const variables = Object.entries(program.variables ?? {}).flatMap(([name, value]) => ["-X", `${name}=${value}`]);
  const env = {
    ...args.env,
    CGO_ENABLED: "0",
    GOWORK: "off",
    GOFLAGS: "-mod=readonly", // the committed go.sum decides; nothing is resolved anew
  };
  let packages = 0;
  const onLine: Log = (line) =>
    line.startsWith("go: downloading ") ? report(line.slice("go: ".length)) : report(`${++packages} packages compiled`);
  const flags = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", ["-s", "-w", ...variables].join(" ")];
  try {
    await run("go", ["build", ...flags, "-o", args.output, program.package], { cwd: args.source, env, onLine });
  } catch (error) {
    throw new Error(
      `Unable to build ${program.name} for the lab's container images: ${causeOf(error)}\nCheck that Go is installed ` +
        `and that its module proxy (\`go env GOPROXY\`) is reachable, then run the same command again.`,
      { cause: error },
    );
  }
}

/** The version of a required module in a program's go.mod; undefined if it isn't required. */
export async function requiredVersion(program: string, module: string): Promise<string | undefined> {
  const text = await readFile(path.join(SOURCES, program, "go.mod"), "utf8");
  return text
    .split("\n")
    .map((line) =>
      line
        .replace(/^require\s+/, "")
        .trim()
        .split(" "),
    )
    .find(([name]) => name === module)?.[1];
}
