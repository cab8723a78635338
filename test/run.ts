/**
 * Runs the tests with all set-up: `unit`, `lab`, or both without an argument; `long` are the stacks on the
 * lab's API without machines, the emergency and the whole way on another homelab (`api`, `emergency`, `second`), the last two
 * each in a lab of its own; `kills` kills drill and restore at every moment, which takes an hour (`lab` does so at a few);
 * `everything` is all of these; `none` only installs what the checks need.
 * The last line is `N passed, N failed`; the exit code is 0 only if something ran, nothing failed and nothing was skipped.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CliError, Interrupted, causeOf } from "../cli/errors";
import { insideNamespace } from "../cli/lab/namespace";
import { readEnvironment } from "../cli/lab/environment";
import { labPaths } from "../cli/lab/paths";
import { prepareLab } from "../cli/lab/prepare";
import { readStackFiles } from "../cli/lab/stack-files";
import { tokenVariable } from "../cli/lab/tokens";
import { bringLabUp, type RunningLab } from "../cli/lab/up";
import { withLab } from "../cli/lab/with-lab";
import { Progress } from "../cli/progress";
import { loadCatalogue } from "../services/catalogue";
import { cacheDir } from "../toolchain/cache";
import { ensureToolchain } from "../toolchain/ensure";
import { writeProjectFolder } from "./homelabs/project";
import { bringBack, keepOutside, moveToNode, operatorIn, OTHER_NODE } from "./emergency/outside";
import { SECOND_CATALOGUE } from "./homelabs/second/catalogue";
import { jest, jestArgs, totals } from "./support/jest-run";
import { PlantedCluster } from "./support/planted-cluster";

const REPO_DIR = resolve(__dirname, "..");
const LAB_ID = "test";
const EMERGENCY = "test/emergency/emergency";
const LOST_HOST = "test/emergency/lost-host";
/** Tests that need minutes, but no machine. */
const WITHOUT_MACHINES =
  "test/((faults|policy|cli/adopt|cli/drill|cli/restore|cli/sweep|lab/privileges|provider/replacement)/|crash/bare)";

type Part = "unit" | "lab" | "api" | "emergency" | "second" | "kills";

const PARTS: Readonly<Partial<Record<string, readonly Part[]>>> = {
  all: ["unit", "lab"],
  unit: ["unit"],
  lab: ["lab"],
  api: ["api"],
  emergency: ["emergency"],
  second: ["second"],
  kills: ["kills"],
  long: ["api", "emergency", "second"],
  everything: ["unit", "lab", "api", "emergency", "second", "kills"],
  none: [],
};

const RUN: Readonly<Record<Part, (progress: Progress, patterns: readonly string[]) => Promise<void>>> = {
  unit: runUnit,
  lab: runLab,
  api: runApi,
  emergency: runEmergency,
  second: runSecond,
  kills: runKills,
};

async function main(args: readonly string[]): Promise<void> {
  const [what = "all", ...patterns] = args;
  const parts = PARTS[what];
  if (parts === undefined) {
    const known = Object.keys(PARTS).filter((name) => name !== "all");
    throw new CliError(`Unable to run "${what}": no such tests. Use ${known.join(", ")}, or nothing for unit and lab.`);
  }
  if (parts.length === 0) return;
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  using progress = new Progress(join(cacheDir(), "logs", `test-${time}.log`));
  for (const part of parts) await RUN[part](progress, patterns);
}

async function runUnit(progress: Progress, patterns: readonly string[]): Promise<void> {
  // The plugins are compared with their packages' types, so they are needed here too.
  await progress.step("Pulumi and its plugins", ({ detail }) => ensureToolchain({ log: detail, what: ["pulumi"] }));
  progress.line("unit tests");
  await jest({
    command: (file) => ({ program: process.execPath, args: jestArgs("unit", file, patterns) }),
    cwd: REPO_DIR,
  });
}

async function runLab(progress: Progress, patterns: readonly string[]): Promise<void> {
  const files = await readStackFiles(REPO_DIR);
  await withLab({ id: LAB_ID, repoDir: REPO_DIR, progress, keepOnSuccess: false }, async () => {
    const prepared = await prepareLab(files.images, progress);
    await using planted = await PlantedCluster.start(join(labPaths(LAB_ID).dir, "planted.json"), process.env);
    progress.line("lab tests of single parts");
    await jest({
      command: (file) => ({
        program: process.execPath,
        args: [
          ...jestArgs("lab", file, patterns),
          `--testPathIgnorePatterns=/test/(rehearsal|homelabs|emergency)/|${WITHOUT_MACHINES}`,
        ],
      }),
      cwd: REPO_DIR,
    });
    const evidenceDir = join("/var/tmp", `homelab-${LAB_ID}`, "drills");
    const lab = await bringLabUp({
      ...{ id: LAB_ID, repoDir: REPO_DIR, files, prepared, progress, evidenceDir },
      scheduler: false,
    });
    progress.line("rehearsal: production, backup, drills and what may go wrong, in one lab");
    await jest({
      command: (file) =>
        insideNamespace(lab.paths, [process.execPath, ...jestArgs("lab", file, [...patterns, "test/rehearsal/"])]),
      cwd: REPO_DIR,
      env: { ...rehearsalEnvironment(lab, evidenceDir), HOMELAB_TEST_PLANTED: planted.file },
    });
  });
}

/** The real pulumi and plugins against the lab's API, without machines: faults, crashes, privileges, adoption, policies. */
async function runApi(progress: Progress, patterns: readonly string[]): Promise<void> {
  const files = await readStackFiles(REPO_DIR);
  await withLab({ id: LAB_ID, repoDir: REPO_DIR, progress, keepOnSuccess: false }, async () => {
    await prepareLab(files.images, progress);
    progress.line("stacks on the lab's API, without machines");
    await jest({
      command: (file) => ({
        program: process.execPath,
        args: jestArgs("lab", file, [...patterns, WITHOUT_MACHINES]),
      }),
      cwd: REPO_DIR,
    });
  });
}

/** `homelab drill` and `homelab restore`, killed at every moment of a reference run. */
async function runKills(progress: Progress, patterns: readonly string[]): Promise<void> {
  await progress.step("Pulumi and its plugins", ({ detail }) => ensureToolchain({ log: detail, what: ["pulumi"] }));
  progress.line("kill points");
  await jest({
    command: (file) => ({
      program: process.execPath,
      args: jestArgs("lab", file, [...patterns, "test/crash/kill-points"]),
    }),
    cwd: REPO_DIR,
    env: { ...process.env, KILL_POINTS: "all" },
  });
}

/** The emergency, in a lab that may lose its production; then the loss of its host, of which the NAS and the operator remain. */
async function runEmergency(progress: Progress, patterns: readonly string[]): Promise<void> {
  const id = "emergency";
  const files = await readStackFiles(REPO_DIR);
  const outside = mkdtempSync(join(tmpdir(), "homelab-outside-"));
  try {
    await withLab({ id, repoDir: REPO_DIR, progress, keepOnSuccess: false }, async () => {
      const prepared = await prepareLab(files.images, progress);
      const evidenceDir = join("/var/tmp", `homelab-${id}`, "drills");
      const lab = await bringLabUp({
        ...{ id, repoDir: REPO_DIR, files, prepared, progress, evidenceDir },
        scheduler: false,
      });
      progress.line("the emergency");
      await jest({
        command: (file) =>
          insideNamespace(lab.paths, [process.execPath, ...jestArgs("lab", file, [...patterns, EMERGENCY])]),
        cwd: REPO_DIR,
        env: rehearsalEnvironment(lab, evidenceDir),
      });
      keepOutside(lab, outside);
    });
    await runLostHost(progress, patterns, outside);
  } finally {
    rmSync(outside, { recursive: true });
  }
}

async function runLostHost(progress: Progress, patterns: readonly string[], outside: string): Promise<void> {
  const id = "losthost";
  const repoDir = mkdtempSync(join(tmpdir(), "homelab-lost-host-"));
  try {
    writeProjectFolder(repoDir, REPO_DIR, loadCatalogue(join(REPO_DIR, "services")));
    moveToNode(repoDir, OTHER_NODE);
    const files = await readStackFiles(repoDir);
    await withLab({ id, repoDir, progress, keepOnSuccess: false }, async () => {
      const prepared = await prepareLab(files.images, progress);
      const evidenceDir = join("/var/tmp", `homelab-${id}`, "drills");
      const operator = operatorIn(outside);
      const lab = await bringLabUp({
        ...{ id, repoDir, files, prepared, progress, evidenceDir, operator },
        scheduler: false,
      });
      bringBack(outside, lab);
      progress.line("an empty second node and the NAS");
      await jest({
        command: (file) =>
          insideNamespace(lab.paths, [process.execPath, ...jestArgs("lab", file, [...patterns, LOST_HOST])]),
        cwd: REPO_DIR,
        env: rehearsalEnvironment(lab, evidenceDir),
      });
    });
  } finally {
    rmSync(repoDir, { recursive: true });
  }
}

/** The whole way on the second homelab, whose project folder lies beside the lab's own. */
async function runSecond(progress: Progress, patterns: readonly string[]): Promise<void> {
  const id = "second";
  const repoDir = mkdtempSync(join(tmpdir(), "homelab-second-"));
  try {
    writeProjectFolder(repoDir, join(REPO_DIR, "test/homelabs/second"), SECOND_CATALOGUE);
    const files = await readStackFiles(repoDir);
    await withLab({ id, repoDir, progress, keepOnSuccess: false }, async () => {
      const prepared = await prepareLab(files.images, progress);
      const evidenceDir = join("/var/tmp", `homelab-${id}`, "drills");
      const lab = await bringLabUp({
        ...{ id, repoDir, files, prepared, progress, evidenceDir },
        ...{ scheduler: false, otherNodes: ["hv-01"] },
      });
      progress.line("the whole way on another homelab");
      await jest({
        command: (file) =>
          insideNamespace(lab.paths, [process.execPath, ...jestArgs("lab", file, [...patterns, "test/homelabs/"])]),
        cwd: REPO_DIR,
        env: rehearsalEnvironment(lab, evidenceDir),
      });
    });
  } finally {
    rmSync(repoDir, { recursive: true });
  }
}

function rehearsalEnvironment(lab: RunningLab, evidenceDir: string): Record<string, string> {
  return {
    ...readEnvironment(lab.paths),
    ...tokenVariable(lab.paths, "observer"),
    HOMELAB_TEST_LAB: lab.paths.id,
    HOMELAB_TEST_EVIDENCE: evidenceDir,
    HOMELAB_CACHE_DIR: cacheDir(),
    HOMELAB_SHOW_TEST_STARTS: "1",
  };
}

function finish(what: string | undefined): never {
  if (what === "none") process.exit(totals.failed > 0 ? 1 : 0);
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
  if (totals.passed + totals.failed === 0) process.stdout.write("No test ran, which is a failure.\n");
  if (totals.skipped > 0) process.stdout.write("A skipped test is a failure: make it run or take it out.\n");
  process.stdout.write(`${totals.passed} passed, ${totals.failed} failed${skipped}\n`);
  process.exit(totals.passed > 0 && totals.failed + totals.skipped === 0 ? 0 : 1);
}

main(process.argv.slice(2)).then(
  () => finish(process.argv[2]),
  (error: unknown) => {
    process.stderr.write(
      `\n${error instanceof CliError || error instanceof Interrupted ? causeOf(error) : String((error as Error).stack)}\n`,
    );
    totals.failed += 1;
    finish(process.argv[2]);
  },
);
