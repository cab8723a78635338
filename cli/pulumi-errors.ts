/** What Pulumi says when it fails: its errors, and what those mean that come before this project's program runs. */
import { existsSync } from "node:fs";
import { causeOf, CliError, hasCode } from "./errors";

/** Why `pulumi` could not be started at all, from the error of `spawn`, which is the same for a missing folder and a missing program. */
export function notStarted(error: unknown, projectDir: string): CliError {
  if (!existsSync(projectDir)) {
    const text = `Unable to run pulumi in ${projectDir}: there is no such folder. Put the project back, or go to where it is now.`;
    return new CliError(text, { cause: error });
  }
  const cause = hasCode(error, "ENOENT") ? "there is no pulumi on the PATH" : causeOf(error);
  const advice = "Install the Pulumi CLI, or use the lab's shell (npm run homelab -- lab shell).";
  return new CliError(`Unable to run pulumi: ${cause}. ${advice}`, { cause: error });
}

/** The texts after `error:`, each once, without progress lines. Lines that belong to one error stay together. */
export function errorsIn(output: string): string[] {
  return messagesIn(output, "error");
}

/** As `errorsIn`, of the texts after `warning:`. */
export function warningsIn(output: string): string[] {
  return messagesIn(output, "warning");
}

/** What mandatory policies say, which stands apart from Pulumi's errors. */
export function violationsIn(output: string): string[] {
  const section = output.split(/^Policies:$/m)[1]?.split(/^(?:Diagnostics|Resources|Outputs):$/m)[0] ?? "";
  const found = section.matchAll(/^\s*- \[mandatory\][^\n]*\n\s*(\S[^\n]*)$/gm);
  return [...new Set([...found].flatMap(([, text]) => text ?? []))];
}

/** What stands below "Diagnostics", or anywhere where a command ends before it has any. */
function messagesIn(output: string, kind: "error" | "warning"): string[] {
  const diagnostics = output.split(/^Diagnostics:$/m)[1]?.split(/^(?:Resources|Outputs):$/m)[0] ?? output;
  const found: string[] = [];
  let current: string | undefined;
  for (const line of `${diagnostics}\n`.split("\n")) {
    const start = /^\s*(error|warning): (.*)$/.exec(line);
    if (start === null && line.trim() !== "") {
      if (current !== undefined) current += `\n${line.trim()}`;
      continue;
    }
    if (current !== undefined) found.push(current);
    current = start?.[1] === kind ? start[2] : undefined;
  }
  return [...new Set(found)];
}

interface Meaning {
  readonly pattern: RegExp;
  readonly explain: (stack: string, match: RegExpExecArray) => string;
}

/**
 * Pulumi's own texts (CLI 3.259). They have no codes: `pulumi` exits with 6 for a missing stack, with 1 for all others.
 * `test/bad-input/start.lab.test.ts` compares them with the real program.
 */
const MEANINGS: readonly Meaning[] = [
  {
    pattern: /no stack named '[^']*' found/,
    explain: (stack) =>
      "there is none of this name in the state. " +
      `Make it with pulumi stack init ${stack}, or set PULUMI_BACKEND_URL to the backend that has it.`,
  },
  {
    // Also what it says of an address that it does not know: it takes all of those for a Pulumi Cloud.
    pattern: /PULUMI_ACCESS_TOKEN must be set for login/,
    explain: () =>
      "Pulumi does not know where its state is: PULUMI_BACKEND_URL is not set or is none of file://, s3://, azblob:// and gs://, " +
      "and there is no login. Set it to the backend that has the state, or run pulumi login.",
  },
  {
    pattern: /unable to open (?:state directory|bucket) "([^"]+)": (.+)/,
    explain: (_stack, [, url = "", cause = ""]) =>
      `the backend ${url} can't be opened: ${cause}. ` +
      "Make or mount it, or set PULUMI_BACKEND_URL to the backend that has the state.",
  },
  {
    pattern: /^read "\.pulumi\/meta\.yaml": (.+)/m,
    explain: (_stack, [, cause = ""]) =>
      `its backend can't be read: ${cause}. Check PULUMI_BACKEND_URL, the backend's credentials, and that it can be reached.`,
  },
  {
    pattern: /incorrect passphrase/,
    explain: () =>
      "its secrets were encrypted with another passphrase than the one in PULUMI_CONFIG_PASSPHRASE or " +
      "PULUMI_CONFIG_PASSPHRASE_FILE. Set that one.",
  },
  {
    pattern: /passphrase must be set/,
    explain: () => "no passphrase is set. Set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE.",
  },
  {
    pattern: /stack is currently locked by[^]*?created by (.+)|Another update is currently in progress/,
    explain: (stack, [, holder]) =>
      `another update holds it${holder === undefined ? "" : ` (of ${holder})`}. ` +
      `Wait for its end; if it died, release the stack with pulumi cancel -s ${stack}.`,
  },
  {
    pattern: /CLI version (\S+) does not satisfy the version range "([^"]+)"/,
    explain: (_stack, [, version = "", range = ""]) =>
      `Pulumi ${version} is not of the versions that this project works with (${range}). Install another Pulumi CLI.`,
  },
];

/** What it means when Pulumi could not begin; undefined for everything else. Then nothing was touched. */
export function explainStart(output: string, stack: string): string | undefined {
  const errors = errorsIn(output).join("\n");
  for (const { pattern, explain } of MEANINGS) {
    const match = pattern.exec(errors);
    if (match !== null) return `Unable to use stack ${stack}: ${explain(stack, match)}`;
  }
  return undefined;
}
