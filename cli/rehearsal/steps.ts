/** The steps of a rehearsal, each one what an operator would type, run in the lab. */
import { join } from "node:path";
import type { Evidence } from "../../provider/contract/evidence";
import type { DrillConfig } from "../../stacks/config";
import { CliError, causeOf } from "../errors";
import { runInsideOrThrow } from "../lab/inside";
import { nodeCommand } from "../lab/node-command";
import { pulumi } from "../lab/pulumi";
import type { RunningLab } from "../lab/up";
import type { Progress } from "../progress";
import { listRuns, readNewEvidence } from "./evidence";
import type { ProofOutcome } from "./proof";
import type { ProofTarget } from "./proof-target";

/** What every step needs. */
export interface StepArgs {
  readonly lab: RunningLab;
  readonly evidenceDir: string;
  readonly progress: Progress;
}

/** The drill stack of the project. Throws when there is not exactly one. */
export function drillStack(lab: Pick<RunningLab, "files">): { name: string; config: DrillConfig } {
  const drills = Object.entries(lab.files.stacks).flatMap(([name, config]) =>
    config.kind === "drill" ? [{ name, config }] : [],
  );
  const [drill] = drills;
  if (drill !== undefined && drills.length === 1) return drill;
  throw new CliError(
    `Unable to rehearse a drill: ${drills.length} stack files have homelab:kind drill. Keep one, such as Pulumi.drill.yaml.`,
  );
}

export async function bringProdUp({ lab, progress }: StepArgs): Promise<void> {
  const stack = lab.files.prod.name;
  await progress.step(`pulumi up -s ${stack}`, (step) => pulumi(lab.paths, ["up", "-s", stack, "--yes"], step));
}

/** Runs `homelab backup now` as it is typed in a shell of the lab. */
export async function backUp({ lab, progress }: StepArgs): Promise<void> {
  const stack = lab.files.prod.name;
  await progress.step("homelab backup now", async (step) => {
    const result = await runInsideOrThrow(lab.paths, nodeCommand("cli/main.ts", ["backup", "now", "-s", stack]), {
      onLine: (line) => step.detail(line.trim()),
    });
    const archive = /\S+:backup\/\S+, .*/.exec(result.stdout)?.[0];
    if (archive !== undefined) step.line(archive);
  });
}

/** Writes a row through the proxy; its title is how a restored copy is known. */
export async function writeProof({ lab, progress }: StepArgs, target: ProofTarget, title: string): Promise<void> {
  const { zone } = lab.files.prod.config;
  const rootFile = join(lab.paths.project, "trust", `${zone}-proxy-root.pem`);
  const args = ["write-row", target.url, rootFile, title, target.adminUser];
  await progress.step(`writing data through ${target.url}`, () =>
    runInsideOrThrow(lab.paths, nodeCommand("cli/rehearsal/inside.ts", args), {
      env: { MINIFLUX_PASSWORD: lab.secrets[target.passwordKey] ?? "" },
      timeoutMs: 180_000,
    }),
  );
}

/** Looks for the row in the drill's VM. That it is missing, or that nobody could look, is a result and no error. */
export async function findProof(
  { lab, progress }: StepArgs,
  { container, database, user }: ProofTarget,
  title: string,
): Promise<ProofOutcome> {
  const { config } = drillStack(lab);
  const vmId = config.drill.vmId;
  const startedAt = new Date();
  const end = (status: ProofOutcome["status"], detail: string): ProofOutcome => {
    return { status, detail, startedAt, endedAt: new Date() };
  };
  return progress.step(`looking for that data in the restored VM ${vmId}`, async ({ line }) => {
    const command = nodeCommand("cli/rehearsal/inside.ts", [
      "count-row",
      config.node,
      String(vmId),
      container,
      database,
      user,
      title,
    ]);
    try {
      const { stdout } = await runInsideOrThrow(lab.paths, command, { timeoutMs: 180_000, as: "drill" });
      if (Number(stdout.trim().split("\n").at(-1)) === 1) return end("passed", `category "${title}" is there`);
    } catch (error) {
      line(causeOf(error));
      return end("skipped", `the rehearsal could not look into VM ${vmId}: ${causeOf(error)}`);
    }
    return end("failed", `the database of VM ${vmId} has no category "${title}", which was written before the backup`);
  });
}

/** What a drill left. */
export interface DrillEnd {
  readonly evidence: Evidence;
  readonly reportFile: string;
}

/** One drill from `up` to the verdict in its evidence. A failed verdict is a result, not an error. */
export async function runDrill(args: StepArgs): Promise<DrillEnd> {
  const { lab, progress, evidenceDir } = args;
  const { name } = drillStack(lab);
  const before = await listRuns(evidenceDir);
  const result = await progress
    .step(`pulumi up -s ${name}`, async (step) => {
      const ended = await pulumi(lab.paths, ["up", "-s", name, "--yes"], step, {
        ...{ allowFailure: true, as: "drill" },
      });
      if (ended.code !== 0) throw new DrillFailed(`${ended.stdout}\n${ended.stderr}`);
      return "";
    })
    .catch((error: unknown) => {
      if (error instanceof DrillFailed) return error.output;
      throw error;
    });
  if (result !== "" && (await listRuns(evidenceDir)).length === before.length) {
    throw new CliError(
      `Unable to run the drill: \`pulumi up -s ${name}\` failed. Its last output:\n${lastLines(result)}`,
    );
  }
  return readNewEvidence(evidenceDir, before);
}

export async function destroyDrill({ lab, progress }: StepArgs): Promise<void> {
  const { name } = drillStack(lab);
  await progress.step(`pulumi destroy -s ${name}`, (step) =>
    pulumi(lab.paths, ["destroy", "-s", name, "--yes"], step, { as: "drill" }),
  );
}

class DrillFailed extends Error {
  constructor(readonly output: string) {
    super("The drill's update failed.");
    this.name = "DrillFailed";
  }
}

function lastLines(text: string): string {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-30)
    .join("\n");
}
