import { spawn } from "node:child_process";
import { CliError } from "./errors";

export interface CommandArgs {
  readonly cwd?: string;
  /** The program's whole environment; default: this process's. */
  readonly env?: Readonly<Record<string, string>>;
  /** Every line of stdout and stderr, as it comes. */
  readonly onLine?: (line: string) => void;
  /** Milliseconds after which the program is killed and the command fails; default: none. */
  readonly timeoutMs?: number;
  /** Text for stdin; default: no stdin. */
  readonly input?: string;
  /** Ends the program. */
  readonly signal?: AbortSignal;
}

/** How a program ended, and what it wrote. */
export interface CommandResult {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its exit code. Rejects when it can't be started or takes too long. */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: CommandArgs = {},
): Promise<CommandResult> {
  const shown = [program, ...args].join(" ");
  return new Promise((resolve, reject) => {
    // A process group of its own: Ctrl-C on a terminal reaches only this process, which then ends things in order.
    const child = spawn(program, [...args], {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      detached: true,
    });
    const kill = (signal: NodeJS.Signals): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, signal);
      } catch {
        // The group has just ended.
      }
    };
    const onAbort = (): void => kill("SIGTERM");
    options.signal?.addEventListener("abort", onAbort, { once: true });
    let late = false;
    const timer = setTimeout(
      () => {
        late = true;
        kill("SIGKILL");
      },
      options.timeoutMs ?? 2 ** 31 - 1,
    );
    const stdout = collect(child.stdout, options.onLine);
    const stderr = collect(child.stderr, options.onLine);
    child.stdin?.on("error", () => undefined); // it ended before it read everything; its exit code tells
    child.stdin?.end(options.input);
    const end = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    };
    child.once("error", (error) => {
      end();
      reject(new CliError(`Unable to run \`${shown}\`: ${error.message}.`, { cause: error }));
    });
    child.once("close", (code, signal) => {
      end();
      const result = { code, signal, stdout: stdout(), stderr: stderr() };
      if (late) reject(failure(shown, `no end within ${(options.timeoutMs ?? 0) / 1000} s`, result));
      else resolve(result);
    });
  });
}

/** Runs a program that must end with code 0; returns its stdout. The error carries the last lines that it wrote. */
export async function runOrThrow(program: string, args: readonly string[], options: CommandArgs = {}): Promise<string> {
  const result = await runCommand(program, args, options);
  if (result.code === 0) return result.stdout;
  throw failure([program, ...args].join(" "), endingOf(result), result);
}

/** `exit code 1` or `ended by SIGKILL`. */
export function endingOf(result: CommandResult): string {
  return result.signal === null ? `exit code ${result.code ?? "unknown"}` : `ended by ${result.signal}`;
}

/** The last lines of a program's output, stderr last. */
export function tailOf(result: CommandResult, lines = 25): string {
  const all = `${result.stdout}\n${result.stderr}`.split("\n").filter((line) => line.trim() !== "");
  return all.slice(-lines).join("\n");
}

function failure(command: string, reason: string, result: CommandResult): CliError {
  const tail = tailOf(result);
  return new CliError(`Unable to run \`${command}\`: ${reason}.${tail === "" ? "" : ` Its last output:\n${tail}`}`);
}

function collect(stream: NodeJS.ReadableStream | null, onLine: ((line: string) => void) | undefined): () => string {
  let text = "";
  let rest = "";
  stream?.setEncoding("utf8");
  stream?.on("data", (chunk: string) => {
    text += chunk;
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) onLine?.(line);
  });
  stream?.on("end", () => {
    if (rest !== "") onLine?.(rest);
  });
  return () => text;
}
