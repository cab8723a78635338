/** The shell script that the drill is compared with: what it is given, and what it says. */
import { checksOf, type CheckContext } from "../components/checks-from-catalogue";
import type { CheckSpec } from "../provider/contract/checks";
import type { ServiceSpec } from "../services/spec";

/** Phases that the script and a drill's evidence both have, in their order. */
export const PHASES = ["restore", "verify", "start", "agent", "isolation", "checks"] as const;
export type Phase = (typeof PHASES)[number];

/** What one run of the script took. */
export interface ScriptRun {
  readonly phases: Readonly<Record<Phase, number>>;
  /** Seconds to remove the VM again. */
  readonly remove: number;
  /** How many checks it made. */
  readonly checks: number;
}

/**
 * The drill's checks as a file for the script: each line calls one of its functions. Made from what the drill makes its own from,
 * so that both check the same; nothing of this code runs in the script.
 */
export function scriptChecks(
  catalogue: readonly ServiceSpec[],
  context: CheckContext & { readonly canarySkewSeconds: number },
): string {
  const lines = catalogue
    .filter(({ inDrill }) => inDrill !== "cut-off")
    .flatMap((spec) => [
      ...checksOf(spec, context).map(scriptCall),
      ...(spec.canary === undefined ? [] : [canaryCall(spec.canary, context.canarySkewSeconds)]),
    ]);
  return lines.map((words) => `${words.map(quoted).join(" ")}\n`).join("");
}

function scriptCall(check: CheckSpec): (string | number)[] {
  switch (check.kind) {
    case "container":
      return ["container", check.container, check.hasHealthCheck ? "healthy" : "running"];
    case "deployment":
      return ["deployment", check.container, check.image, check.digest ?? "", check.configuration];
    case "http": {
      const { hostName, path, expectStatus, expectBodyIncludes = "", containers } = check;
      return ["http", hostName, path, expectStatus, expectBodyIncludes, ...containers];
    }
    case "sql": {
      const { container, database, user, query, expect } = check;
      const [comparison, value] = "equals" in expect ? ["equals", expect.equals] : ["atLeast", expect.atLeast];
      // A shell has no times; PostgreSQL makes one of the seconds.
      const statement = query.replaceAll("'{bootedAt}'", "to_timestamp({bootedAt})");
      return ["sql", container, database, user, comparison, value, statement];
    }
    case "excused":
      throw new Error(`Unable to compare the drill with a script: ${check.reason}. Deploy first, then back up.`);
  }
}

function canaryCall(canary: NonNullable<ServiceSpec["canary"]>, skewSeconds: number): (string | number)[] {
  const { server, database, user, table, intervalSeconds } = canary;
  return ["canary", server, database, user, table, intervalSeconds, skewSeconds];
}

function quoted(word: string | number): string {
  const text = String(word);
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Reads what the script printed. @throws Error when a phase is missing, which a script that ended well never leaves out. */
export function readScriptRun(stdout: string): ScriptRun {
  const secondsOf = (name: string): number => {
    const seconds = new RegExp(`^phase ${name} ([0-9]+\\.[0-9]{2})$`, "m").exec(stdout)?.[1];
    if (seconds === undefined) {
      throw new Error(
        `Unable to read what the drill's script took: it printed no phase ${name}. Look at bench/drill.sh.`,
      );
    }
    return Number(seconds);
  };
  return {
    phases: {
      restore: secondsOf("restore"),
      verify: secondsOf("verify"),
      start: secondsOf("start"),
      agent: secondsOf("agent"),
      isolation: secondsOf("isolation"),
      checks: secondsOf("checks"),
    },
    remove: secondsOf("remove"),
    checks: stdout.split("\n").filter((line) => line.startsWith("check ")).length,
  };
}
