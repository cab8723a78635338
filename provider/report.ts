/** The report that a person reads after a drill or a restore: pure, from the evidence. */
import { asideLines } from "./aside-report";
import type { Evidence } from "./contract/evidence";

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

/** `93.4 s`, from a minute on also in minutes or hours. */
export function printSeconds(seconds: number): string {
  const exact = `${seconds.toFixed(1)} s`;
  if (seconds < 60) return exact;
  if (seconds < 3600) return `${exact} (${(seconds / 60).toFixed(1)} min)`;
  return `${Math.round(seconds)} s (${(seconds / 3600).toFixed(1)} h)`;
}

function objective(value: number | null, target: number, met: boolean | null, absent: string): string {
  if (value === null) return `${absent} (target ${printSeconds(target)})`;
  return `${printSeconds(value)}, target ${printSeconds(target)}: ${met === true ? "met" : "missed"}`;
}

function printTime(seconds: number | null): string {
  return seconds === null ? "unknown" : new Date(seconds * 1000).toISOString();
}

function outageText({ at, seconds }: NonNullable<Evidence["outage"]>): string {
  return `from ${at} on, ${seconds === null ? "not over" : `over after ${printSeconds(seconds)}`}`;
}

/** What the restored VM could reach beside what the source VM could: nothing where nothing was asked. */
function isolationSection({ isolation, source }: Evidence): string[] {
  if (isolation.length === 0) return [];
  const controls = { answered: "answered", silent: "silent", none: "not asked" };
  return [
    "## Isolation",
    "",
    ...table(
      ["probe from inside", "restored VM", `control on VM ${source.vmId}`, "detail"],
      isolation.map(({ probe, outcome, control, detail }) => [probe, outcome, controls[control], detail]),
    ),
    "",
  ];
}

/** Renders `report.md`. */
export function renderReport(evidence: Evidence): string {
  const lines = [
    `# ${evidence.kind === "drill" ? "Restore drill" : "Emergency restore"} ${evidence.runId}: ${evidence.verdict.toUpperCase()}`,
    "",
    ...evidence.reasons.map((reason) => `- ${cell(reason)}`),
    ...(evidence.reasons.length > 0 ? [""] : []),
    ...table(
      ["what", "value"],
      [
        ["Started", evidence.startedAt],
        ["Ended", evidence.endedAt],
        ["Archive", evidence.source.archive ?? "none"],
        ["Archive made", printTime(evidence.source.archiveTime)],
        ["Source VM", String(evidence.source.vmId)],
        ["Restored as", `VM ${evidence.target.vmId} (${evidence.target.vmName}) on ${evidence.target.node}`],
        ...(evidence.outage === null ? [] : [["Outage", outageText(evidence.outage)]]),
        ["RTO", objective(evidence.rto.seconds, evidence.rto.targetSeconds, evidence.rto.met, "not reached")],
        ["RPO", objective(evidence.rpo.seconds, evidence.rpo.targetSeconds, evidence.rpo.met, "not measured")],
        ["Recovery point", evidence.rpo.recoveryPoint ?? "not measured"],
      ],
    ),
    "",
    "## Phases",
    "",
    ...table(
      ["phase", "status", "seconds", "detail"],
      evidence.phases.map(({ phase, status, seconds, detail }) => [phase, status, seconds.toFixed(1), detail]),
    ),
    "",
    ...isolationSection(evidence),
    "## Checks",
    "",
    ...table(
      ["service", "check", "status", "detail"],
      evidence.checks.map(({ service, name, status, mandatory, detail }) => [
        service,
        name,
        mandatory ? status : `${status} (optional)`,
        detail,
      ]),
    ),
    "",
    "## Findings",
    "",
    ...(evidence.findings.length > 0 ? evidence.findings.map((finding) => `- ${cell(finding)}`) : ["None."]),
    "",
    ...asideLines(evidence),
    "## Environment",
    "",
    ...(evidence.environmentNotes.length > 0
      ? evidence.environmentNotes.map((note) => `- ${cell(note)}`)
      : ["The operator's own, nothing replaced."]),
    "",
  ];
  return lines.join("\n");
}
