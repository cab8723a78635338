/** What the bench measured, and how it is printed. */

/** Speed that is good enough: an upper or a lower bound in the measurement's own unit. */
export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** One figure. Ratios carry over to other machines, seconds do not. */
export interface Measurement {
  readonly what: string;
  readonly value: number;
  /** `x` is a ratio. */
  readonly unit: "s" | "ms" | "x";
  /** What the figure was made from. */
  readonly detail: string;
  /** Absent: the figure is for information only. */
  readonly target?: Target;
}

/** A part of the bench that could not run here, with the reason as a sentence without a full stop. */
export interface NotMeasured {
  readonly what: string;
  readonly reason: string;
}

export type Line = Measurement | NotMeasured;

/** Whether a line has a target that its figure does not reach. What was not measured has missed nothing. */
export function missesTarget(line: Line): boolean {
  if ("reason" in line || line.target === undefined) return false;
  return "atMost" in line.target ? !(line.value <= line.target.atMost) : !(line.value >= line.target.atLeast);
}

/** One Markdown table. */
export function printTable(lines: readonly Line[]): string {
  const rows = lines.map((line) =>
    "reason" in line
      ? [line.what, "not measured", "", "", line.reason]
      : [line.what, printFigure(line.value, line.unit), printTarget(line), verdict(line), line.detail],
  );
  const all = [["what", "figure", "target", "", "made from"], ...rows];
  const widths = (all[0] ?? []).map((_, column) => Math.max(3, ...all.map((row) => row[column]?.length ?? 0)));
  const printRow = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = all;
  return [printRow(head), printRow(widths.map((width) => "-".repeat(width))), ...body.map(printRow)].join("\n");
}

function verdict(line: Measurement): string {
  if (line.target === undefined) return "";
  return missesTarget(line) ? "missed" : "met";
}

function printTarget({ target, unit }: Measurement): string {
  if (target === undefined) return "";
  return "atMost" in target
    ? `at most ${printFigure(target.atMost, unit)}`
    : `at least ${printFigure(target.atLeast, unit)}`;
}

function printFigure(value: number, unit: Measurement["unit"]): string {
  switch (unit) {
    case "x":
      return `${value.toFixed(2)} x`;
    case "s":
      return `${value.toFixed(2)} s`;
    case "ms":
      return `${value.toFixed(0)} ms`;
  }
}
