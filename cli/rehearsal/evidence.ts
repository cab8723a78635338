import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Evidence, evidenceSchema } from "../../provider/contract/evidence";
import { CliError, causeOf, hasCode } from "../errors";
import { duration } from "../progress";

/** Folder of a clone's rehearsals: apart from the evidence of real drills, which nobody shall take these for. */
export function rehearsalEvidence(repoDir: string): string {
  return join(repoDir, "drills", "rehearsal");
}

/** Names of the runs whose evidence lies in a folder; none if there is no folder yet. */
export async function listRuns(evidenceDir: string): Promise<string[]> {
  const entries = await readdir(evidenceDir, { withFileTypes: true }).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** The evidence of the one run that was not there before. */
export async function readNewEvidence(
  evidenceDir: string,
  before: readonly string[],
): Promise<{ evidence: Evidence; reportFile: string }> {
  const added = (await listRuns(evidenceDir)).filter((run) => !before.includes(run)).sort();
  const run = added.at(-1);
  if (run === undefined) {
    throw new CliError(
      `Unable to find the evidence of the drill: ${evidenceDir} has no new run. ` +
        "The drill ended before it began; its error stands above.",
    );
  }
  const file = join(evidenceDir, run, "drill.json");
  try {
    const evidence = evidenceSchema.parse(JSON.parse(await readFile(file, "utf8")));
    return { evidence, reportFile: join(evidenceDir, run, "report.md") };
  } catch (error) {
    const cause = causeOf(error);
    throw new CliError(`Unable to read the evidence ${file}: ${cause}. The journal beside it tells how far it came.`, {
      cause: error,
    });
  }
}

/** Verdict and measured times as they end a rehearsal. */
export function printVerdict(evidence: Evidence): string[] {
  const seconds = (value: number | null): string => (value === null ? "not measured" : duration(value * 1000));
  const target = (met: boolean | null): string => (met === null ? "" : met ? ", target met" : ", TARGET MISSED");
  const phases = evidence.phases.map(({ phase, seconds: took }) => `${phase} ${duration(took * 1000)}`).join(", ");
  const passed = evidence.checks.filter(({ status }) => status === "passed").length;
  return [
    `verdict  ${evidence.verdict.toUpperCase()}`,
    `RTO      ${seconds(evidence.rto.seconds)}${target(evidence.rto.met)} (${phases})`,
    `RPO      ${seconds(evidence.rpo.seconds)}${target(evidence.rpo.met)}`,
    `checks   ${passed} of ${evidence.checks.length} passed`,
    `archive  ${evidence.source.archive ?? "none"}`,
    ...evidence.reasons.map((reason) => `because  ${reason}`),
    ...evidence.findings.map((finding) => `finding  ${finding}`),
  ];
}
