/** The one table that a row of drills ends with: pure. */
import type { Evidence } from "../../provider/contract/evidence";
import { duration } from "../progress";

/** One drill, or one that did not come to be. */
export interface DrillRow {
  /** Volume id; undefined when none was found. */
  readonly archive: string | undefined;
  readonly evidence: Evidence | undefined;
  /** Why there is no evidence, or why it does not count. */
  readonly problem?: string;
}

/** Whether a drill proved that the archive comes back. */
export function isPassed({ evidence, problem }: DrillRow): boolean {
  return evidence?.verdict === "passed" && problem === undefined;
}

const HEAD = ["archive", "age", "verdict", "RTO", "RPO", "reasons"] as const;

/** Lines of the table, the head first. Each further reason has a line of its own. */
export function drillTable(rows: readonly DrillRow[]): string[] {
  const cells = [[...HEAD], ...rows.flatMap((row) => linesOf(row))];
  const widths = HEAD.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  return cells.map((line) =>
    line
      .map((cell, column) => (column === HEAD.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

function linesOf({ archive, evidence, problem }: DrillRow): string[][] {
  const name = (archive ?? evidence?.source.archive ?? "none").replace(/^.*\//, "");
  const reasons = [...(problem === undefined ? [] : [problem]), ...(evidence?.reasons ?? [])];
  const [first = "", ...more] = reasons.map((reason) => reason.replaceAll(/\s*\n\s*/g, " "));
  return [
    [
      name,
      age(evidence?.source.archiveAgeSeconds ?? null),
      evidence === undefined || (evidence.verdict === "passed" && problem !== undefined) ? "none" : evidence.verdict,
      measured(evidence?.rto.seconds ?? null),
      measured(evidence?.rpo.seconds ?? null),
      first,
    ],
    ...more.map((reason) => ["", "", "", "", "", reason]),
  ];
}

/** Hours up to two days, then days. */
function age(seconds: number | null): string {
  if (seconds === null) return "-";
  if (seconds < 3600) return duration(seconds * 1000);
  const hours = seconds / 3600;
  return hours < 48 ? `${hours.toFixed(1)} h` : `${(hours / 24).toFixed(1)} d`;
}

function measured(seconds: number | null): string {
  return seconds === null ? "-" : duration(seconds * 1000);
}
