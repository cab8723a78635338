import { spawn } from "node:child_process";

/** Takes one line for the person who waits; no line break at the end. */
export type Log = (line: string) => void;

/** How {@link run} starts a program. */
export interface RunArgs {
  /** Working directory; default: this process's. */
  cwd?: string;
  /** The whole environment of the program; default: this process's. */
  env?: NodeJS.ProcessEnv;
  /** Called with every line that the program writes; default: nothing is shown. */
  onLine?: Log;
  /** Ends the program and fails after this time, in milliseconds; default: no limit. */
  timeoutMs?: number;
}

/** A program that could not be started, ended with a code other than 0, or took too long. */
export class CommandError extends Error {
  /**
   * @param command program and arguments as typed in a shell
   * @param reason exit code, signal or start error
   * @param output the last lines of its stdout and stderr, for the person who reads the error
   */
  constructor(
    readonly command: string,
    readonly reason: string,
    readonly output: string,
  ) {
    super(`Unable to run \`${command}\`: ${reason}.${output === "" ? "" : ` Its last output:\n${output}`}`);
    this.name = "CommandError";
  }
}

const TAIL_LINES = 20;

/** Runs a program to its end and returns its stdout. Throws {@link CommandError}. */
export async function run(program: string, args: readonly string[], options: RunArgs = {}): Promise<string> {
  const command = [program, ...args].join(" ");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: options.cwd, env: options.env, stdio: ["ignore", "pipe", "pipe"] });
    const tail: string[] = [];
    let stdout = "";
    let reason: string | undefined;
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            reason = `no end within ${options.timeoutMs ?? 0} ms`;
            child.kill("SIGKILL");
          }, options.timeoutMs);
    const onLine = (line: string): void => {
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      options.onLine?.(line);
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    eachLine(child.stdout, onLine);
    eachLine(child.stderr.setEncoding("utf8"), onLine);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new CommandError(command, error.message, ""));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(stdout);
      else reject(new CommandError(command, reason ?? ending(code, signal), tail.join("\n")));
    });
  });
}

/**
 * Runs `work` and says what is being done: at the start, every 15 seconds, and how long it took. The person who waits
 * for minutes sees that it is alive. `work` may report a detail that the next line shows.
 */
export async function withProgress<T>(
  log: Log,
  what: string,
  work: (report: (detail: string) => void) => Promise<T>,
): Promise<T> {
  const start = Date.now();
  const seconds = (): number => Math.round((Date.now() - start) / 1000);
  let detail = "";
  log(`${what} …`);
  const timer = setInterval(() => log(`${what} … ${seconds()} s${detail}`), 15_000);
  try {
    const result = await work((text) => (detail = `, ${text}`));
    log(`${what}: done in ${seconds()} s`);
    return result;
  } finally {
    clearInterval(timer);
  }
}

/** The cause of an error in words, without its stack. */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause.message : "";
  // "fetch failed" says nothing without its cause; most of our own messages say it already.
  return cause === "" || error.message.includes(cause) ? error.message : `${error.message} (${cause})`;
}

function ending(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit code ${code ?? "unknown"}` : `ended by ${signal}`;
}

function eachLine(stream: NodeJS.ReadableStream, onLine: Log): void {
  let rest = "";
  stream.on("data", (text: string) => {
    const lines = (rest + text).split(/\r?\n|\r/);
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}
