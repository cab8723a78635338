/** Runs one of the system's tools without a shell. */
import { spawn } from "node:child_process";

export interface CommandArgs {
  readonly signal?: AbortSignal;
  /** Called with every piece of standard output. */
  readonly onOutput?: (text: string) => void;
}

/** Standard output of a command. @throws Error with PVE's wording and the end of standard error when it fails. */
export async function runCommand(
  command: string,
  args: readonly string[],
  { signal, onOutput }: CommandArgs = {},
): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], signal });
  let output = "";
  let problems = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    onOutput?.(text);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    problems = `${problems}${text}`.slice(-4000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", (error) =>
      reject(
        error.name === "AbortError"
          ? error
          : new Error(`Unable to run ${command}: ${error.message}. Install the package that contains it.`, {
              cause: error,
            }),
      ),
    );
    child.on("close", resolve);
  });
  if (code !== 0)
    throw new Error(
      `command '${[command, ...args].join(" ")}' failed: exit code ${code ?? "none"}: ${problems.trim()}`,
    );
  return output;
}
