import { spawn } from "node:child_process";
import { type CommandArgs, type CommandResult, endingOf, runCommand, tailOf } from "../command";
import { CliError } from "../errors";
import { readEnvironment } from "./environment";
import { insideNamespace } from "./namespace";
import type { LabPaths } from "./paths";
import { tokenVariable, type TokenHolder } from "./tokens";

export interface InsideArgs extends Pick<CommandArgs, "onLine" | "timeoutMs" | "input" | "signal"> {
  /** Default: the lab's project folder. */
  readonly cwd?: string;
  /** Added to the lab's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whose API token it has; default: production's. */
  readonly as?: TokenHolder;
}

/** Runs a program in the lab: its namespace, its environment, its project folder. Any exit code is an answer. */
export function runInside(
  paths: LabPaths,
  command: readonly string[],
  { as, ...options }: InsideArgs = {},
): Promise<CommandResult> {
  const { program, args } = insideNamespace(paths, command);
  const env = { ...readEnvironment(paths), ...(as === undefined ? {} : tokenVariable(paths, as)), ...options.env };
  return runCommand(program, args, { cwd: paths.project, ...options, env });
}

/** As `runInside`, but an exit code other than 0 is an error that carries the last lines. */
export async function runInsideOrThrow(
  paths: LabPaths,
  command: readonly string[],
  options: InsideArgs = {},
): Promise<CommandResult> {
  const result = await runInside(paths, command, options);
  if (result.code === 0) return result;
  throw new CliError(
    `Unable to run \`${command.join(" ")}\` in the lab: ${endingOf(result)}. Its last output:\n${tailOf(result, 40)}\n` +
      "Mend what it names and start again; `npm start -- --keep` leaves a lab to look into.",
  );
}

/** Runs a program of the lab on the caller's own terminal; returns its exit code. */
export function attachInside(
  paths: LabPaths,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { program, args } = insideNamespace(paths, command);
  const merged = { ...readEnvironment(paths), ...env };
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: paths.project, env: merged, stdio: "inherit" });
    // Ctrl-C belongs to the program on the terminal, not to this one.
    const ignore = (): void => undefined;
    process.on("SIGINT", ignore);
    child.once("error", reject);
    child.once("close", (code) => {
      process.off("SIGINT", ignore);
      resolve(code ?? 1);
    });
  });
}
