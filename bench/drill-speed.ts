/**
 * The drill against the shell script `drill.sh`, which makes the same calls, waits and checks: on one lab with the same archive,
 * in turns. Before that, previews without a change of what stands there.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runInsideOrThrow } from "../cli/lab/inside";
import { REPO_DIR } from "../cli/lab/node-command";
import { labPaths } from "../cli/lab/paths";
import { prepareLab } from "../cli/lab/prepare";
import { readStackFiles } from "../cli/lab/stack-files";
import { bringLabUp } from "../cli/lab/up";
import { withLab } from "../cli/lab/with-lab";
import { Progress } from "../cli/progress";
import { backUp, bringProdUp, destroyDrill, drillStack, runDrill, type StepArgs } from "../cli/rehearsal/steps";
import type { Evidence } from "../provider/contract/evidence";
import type { DrillConfig } from "../stacks/config";
import { digestOf, lockedReference, readImagesLock } from "../stacks/images-lock";
import { outsideOf } from "../stacks/outside";
import { cacheDir } from "../toolchain/cache";
import type { Log } from "../toolchain/process";
import { PHASES, type Phase, readScriptRun, type ScriptRun, scriptChecks } from "./drill-script";
import { type Line } from "./measurement";
import { measurePlans } from "./plan-speed";

const LAB_ID = "bench";
/** Of the script's time, from the project's requirements. */
const TARGET = { atMost: 1.15 };
/** For one run of the script. */
const LIMIT_SECONDS = 1200;

/** What one drill took. */
export interface DrillRun {
  readonly phases: Readonly<Record<Phase, number>>;
  /** Seconds of `pulumi up` and `pulumi destroy` from command to end. */
  readonly up: number;
  readonly destroy: number;
  readonly checks: number;
}

export async function measureDrill(log: Log): Promise<Line[]> {
  const files = await readStackFiles(REPO_DIR);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  // Progress goes where that of the other parts goes: the table alone is for stdout.
  using progress = new Progress(join(cacheDir(), "logs", `bench-${time}.log`), {
    write: (text) => log(text.trimEnd()),
    isTerminal: false,
    columns: () => 80,
  });
  return await withLab({ id: LAB_ID, repoDir: REPO_DIR, progress, keepOnSuccess: false }, async () => {
    const prepared = await prepareLab(files.images, progress);
    const evidenceDir = join(labPaths(LAB_ID).dir, "drills");
    const args = { id: LAB_ID, repoDir: REPO_DIR, files, prepared, progress, evidenceDir };
    const lab = await bringLabUp({ ...args, scheduler: false });
    const steps: StepArgs = { lab, progress, evidenceDir };
    await bringProdUp(steps);
    await backUp(steps);
    const plans = await measurePlans(lab, progress);
    return [...(await compareDrills(steps)), ...plans];
  });
}

/** One order and its mirror image, so that neither side always meets the warmer machine. */
async function compareDrills(steps: StepArgs): Promise<Line[]> {
  const first = await timeDrill(steps);
  const scripts = [await timeScript(steps, first.source), await timeScript(steps, first.source)];
  const second = await timeDrill(steps);
  return compare([first.run, second.run], scripts);
}

async function timeDrill(steps: StepArgs): Promise<{ run: DrillRun; source: Evidence["source"] }> {
  const begun = performance.now();
  const { evidence, reportFile } = await runDrill(steps);
  const up = (performance.now() - begun) / 1000;
  if (evidence.verdict !== "passed") {
    const reasons = evidence.reasons.join("; ");
    throw new Error(`Unable to time the drill: its verdict is ${evidence.verdict} (${reasons}). Read ${reportFile}.`);
  }
  const destroyBegun = performance.now();
  await destroyDrill(steps);
  const destroy = (performance.now() - destroyBegun) / 1000;
  const secondsOf = (phase: Phase): number => evidence.phases.find((one) => one.phase === phase)?.seconds ?? Number.NaN;
  const phases = {
    restore: secondsOf("restore"),
    verify: secondsOf("verify"),
    start: secondsOf("start"),
    agent: secondsOf("agent"),
    isolation: secondsOf("isolation"),
    checks: secondsOf("checks"),
  };
  // The recovery point is a check of the script too.
  const checks = evidence.checks.length + (evidence.rpo.seconds === null ? 0 : 1);
  steps.progress.line(`  drill: ${printPhases(phases)}; up ${up.toFixed(2)} s, destroy ${destroy.toFixed(2)} s`);
  return { run: { phases, up, destroy, checks }, source: evidence.source };
}

async function timeScript({ lab, progress }: StepArgs, source: Evidence["source"]): Promise<ScriptRun> {
  const { config } = drillStack(lab);
  const { drill, node, zone, timeouts } = config;
  const { paths, files } = lab;
  const reverseProxy = files.catalogue.find((spec) => spec.reverseProxy)?.name;
  const lock = readImagesLock(join(paths.project, "images.lock.json"));
  const checksFile = join(paths.dir, "drill-checks.sh");
  const text = scriptChecks(files.catalogue, {
    zone,
    ...(reverseProxy === undefined ? {} : { reverseProxy }),
    archiveTime: source.archiveTime ?? 0,
    code: new Map(
      files.catalogue.map(({ name, image }) => {
        const digest = digestOf(image, lock);
        return [name, { image: lockedReference(image, lock), ...(digest === undefined ? {} : { digest }) }];
      }),
    ),
    canarySkewSeconds: timeouts.canarySkewSeconds,
  });
  await writeFile(checksFile, text);
  const env = {
    NODE: node,
    ARCHIVE: source.archive ?? "",
    SOURCE_VMID: String(config.dockerVm.vmId),
    VMID: String(drill.vmId),
    VM_NAME: drill.name,
    STORAGE: drill.storage,
    BRIDGE: drill.isolatedBridge,
    POOL: drill.pool,
    ISOLATED: isolatedFrom(config),
    MEMORY_MIB: String(drill.memoryMiB ?? ""),
    ROOT_CERTIFICATE: join(paths.project, "trust", `${zone}-proxy-root.pem`),
    LIMIT_SECONDS: String(LIMIT_SECONDS),
  };
  const { stdout } = await progress.step("bench/drill.sh", ({ detail }) =>
    runInsideOrThrow(paths, ["sh", join(REPO_DIR, "bench", "drill.sh"), checksFile], {
      env,
      as: "drill",
      onLine: detail,
    }),
  );
  const run = readScriptRun(stdout);
  progress.line(`  script: ${printPhases(run.phases)}; removal ${run.remove.toFixed(2)} s`);
  return run;
}

/** What the script asks from inside the guest: gateways, API and the outside, as the drill does. */
function isolatedFrom(config: DrillConfig): string {
  const { gateway, ipv6 } = config.dockerVm;
  const endpoints = [
    { address: gateway, port: 53 },
    // The lab's node is the gateway too.
    { address: gateway, port: 8006 },
    ...(ipv6 === undefined ? [] : [{ address: ipv6.gateway, port: 53 }]),
    ...outsideOf(config),
  ];
  return endpoints.map(({ address, port }) => `${address}/${port}`).join(" ");
}

function printPhases(phases: Readonly<Record<Phase, number>>): string {
  return PHASES.map((phase) => `${phase} ${phases[phase].toFixed(2)} s`).join(", ");
}

/** The lines of the table. The best of each side counts. */
export function compare(drills: readonly DrillRun[], scripts: readonly ScriptRun[]): Line[] {
  const least = (values: readonly number[]): number => Math.min(...values);
  const sum = (phases: Readonly<Record<Phase, number>>): number =>
    PHASES.reduce((total, phase) => total + phases[phase], 0);
  const script = least(scripts.map(({ phases }) => sum(phases)));
  const counts = `${drills[0]?.checks ?? 0} checks, the script ${scripts[0]?.checks ?? 0}`;
  const line = (what: string, drillSeconds: number, scriptSeconds: number): Line => ({
    what,
    value: drillSeconds / scriptSeconds,
    unit: "x",
    detail: `${drillSeconds.toFixed(2)} s, the script ${scriptSeconds.toFixed(2)} s; best of ${drills.length} in turns`,
  });
  const up = line("drill, `pulumi up` whole, against the script", least(drills.map((run) => run.up)), script);
  const rto = line("drill, RTO, against the script", least(drills.map(({ phases }) => sum(phases))), script);
  return [
    { ...up, target: TARGET },
    { ...rto, target: TARGET, detail: `${"detail" in rto ? rto.detail : ""}; ${counts}` },
    ...PHASES.map((phase) =>
      line(
        `drill, phase ${phase}, against the script`,
        least(drills.map(({ phases }) => phases[phase])),
        least(scripts.map(({ phases }) => phases[phase])),
      ),
    ),
    line(
      "drill, `pulumi destroy`, against the script's removal",
      least(drills.map((run) => run.destroy)),
      least(scripts.map((run) => run.remove)),
    ),
  ];
}
