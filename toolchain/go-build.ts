import { chmod, cp, rename } from "node:fs/promises";
import * as path from "node:path";

import { contentKey, ensureCached } from "./cache";
import { causeOf, type Log, run, withProgress } from "./process";
import { GO_MODULES_WITHOUT_SUMDB, GO_PROGRAMS, type GoProgram } from "./versions";

/** Oldest Go that compiles the programs; the newest `go` line in their modules asks for it. */
export const GO_MINIMUM = "1.26";

const SOURCES = path.join(__dirname, "go");

/** Folder of a program's go.mod, go.sum and own sources, for cache keys. */
export function goSources(program: GoProgram): string {
  return path.join(SOURCES, program.name);
}

/**
 * Builds programs from their published Go modules and returns the executables' paths by name. Each is cached by the
 * content of its sources, the Go version and the platform. At most two compile at a time. Go's own caches are where Go
 * has them (GOMODCACHE, GOCACHE). Throws when Go is missing, too old, or a build fails; the error says which and why.
 */
export async function buildGoPrograms(
  names: readonly (keyof typeof GO_PROGRAMS)[],
  cache: string,
  log: Log,
): Promise<Map<string, string>> {
  const goVersion = await checkGo();
  const built = new Map<string, string>();
  const waiting = [...names];
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      built.set(name, await buildOne(GO_PROGRAMS[name], goVersion, cache, log));
    }
  };
  const results = await Promise.allSettled([worker(), worker()]);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return built;
}

/** As `buildGoPrograms`, for one program that not every run needs. Returns the executable's path. */
export async function buildGoProgram(program: GoProgram, cache: string, log: Log): Promise<string> {
  return buildOne(program, await checkGo(), cache, log);
}

async function checkGo(): Promise<string> {
  let version: string;
  try {
    version = (await run("go", ["env", "GOVERSION"])).trim();
  } catch (error) {
    throw new Error(
      `Unable to build the Pulumi toolchain from its Go modules: ${causeOf(error)} Install Go ${GO_MINIMUM} or newer.`,
      { cause: error },
    );
  }
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(version) ?? [];
  const [needMajor, needMinor] = GO_MINIMUM.split(".").map(Number);
  const ok = Number(major) === needMajor && Number(minor) >= Number(needMinor);
  if (!ok) {
    throw new Error(
      `Unable to build the Pulumi toolchain from its Go modules: ${version} is too old. Install Go ${GO_MINIMUM} or newer.`,
    );
  }
  return version;
}

async function buildOne(program: GoProgram, goVersion: string, cache: string, log: Log): Promise<string> {
  const { coldSeconds, ...inputs } = program;
  const key = await contentKey([
    { path: goSources(program) },
    { text: JSON.stringify(inputs) },
    { text: `${goVersion} ${process.platform} ${process.arch}` },
  ]);
  const dir = await ensureCached(path.join(cache, "go", `${program.name}-${key}`), log, async (empty) => {
    const what = `building ${program.name} from Go modules (about ${coldSeconds} s without caches)`;
    await withProgress(log, what, (report) => compile(program, empty, report));
  });
  return path.join(dir, program.name);
}

async function compile(program: GoProgram, dir: string, report: (detail: string) => void): Promise<void> {
  const source = path.join(dir, "source");
  const out = path.join(dir, program.name);
  await cp(goSources(program), source, { recursive: true });
  const env = {
    ...process.env,
    CGO_ENABLED: "0", // needs no C compiler, and the result runs everywhere
    GOWORK: "off",
    GOFLAGS: "-mod=readonly", // the committed go.sum decides; nothing is resolved anew
    GONOSUMDB: [process.env["GONOSUMDB"], GO_MODULES_WITHOUT_SUMDB].filter(Boolean).join(","),
  };
  let packages = 0;
  const onLine: Log = (line) => {
    if (line.startsWith("go: downloading ")) report(line.slice("go: ".length));
    else report(`${++packages} packages compiled`);
  };
  const build = async (target: string, output: string): Promise<void> => {
    const linker = ["-s", "-w"];
    if (program.version) linker.push("-X", `${program.version.variable}=${program.version.value}`);
    const tags = program.tags ? ["-tags", program.tags.join(",")] : [];
    const args = ["build", "-v", "-trimpath", ...tags, "-ldflags", linker.join(" "), "-o", output, target];
    await run("go", args, { cwd: source, env, onLine });
  };
  try {
    if (program.bridge) {
      const tfgen = path.join(dir, "tfgen");
      await build("./tfgen", tfgen);
      await run(tfgen, ["schema", "--skip-docs", "--skip-examples", "--out", path.join(dir, "schema")]);
      for (const file of ["schema.json", "bridge-metadata.json"]) {
        await rename(path.join(dir, "schema", file), path.join(source, file));
      }
    }
    await build(program.package, out);
    await chmod(out, 0o755);
  } catch (error) {
    throw new Error(
      `Unable to build ${program.name} from its Go modules: ${causeOf(error)}\nCheck that the Go module proxy ` +
        `(\`go env GOPROXY\`) is reachable and that the disk has 10 GB free, then run the same command again.`,
      { cause: error },
    );
  }
}
