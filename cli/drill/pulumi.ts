/** The operator's own `pulumi`, in their project and environment. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { REPO_DIR } from "../lab/node-command";
import { POLICY_PACK, POLICY_PACK_VARIABLE } from "../policy-pack";
import { errorsIn, notStarted, violationsIn } from "../pulumi-errors";

/** How `pulumi` ended, and everything it wrote. */
export interface PulumiResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly output: string;
}

export interface PulumiOptions {
  readonly onLine?: (line: string) => void;
  /** Asks it to cancel: what it has begun is recorded, so that `destroy` finds it. */
  readonly signal?: AbortSignal;
}

/** Runs `pulumi`, whatever its exit code. */
export type RunPulumi = (args: readonly string[], options?: PulumiOptions) => Promise<PulumiResult>;

/**
 * `pulumi` of the PATH in a project folder; without `env` in this process's own environment. The policies judge each update,
 * unless the environment names others, or none.
 */
export function pulumiIn(projectDir: string, env: NodeJS.ProcessEnv = process.env): RunPulumi {
  const withPolicies = { [POLICY_PACK_VARIABLE]: join(REPO_DIR, POLICY_PACK), ...env };
  return async (args, { onLine, signal } = {}) =>
    new Promise((resolve, reject) => {
      // A process group of its own: Ctrl-C reaches only this process, which passes it on once, to `pulumi` alone.
      const child = spawn("pulumi", [...args, "--non-interactive", "--color=never"], {
        cwd: projectDir,
        env: withPolicies,
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      });
      const lines: string[] = [];
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          lines.push(line);
          onLine?.(line);
        });
      }
      const cancel = (): void => void child.kill("SIGINT");
      signal?.addEventListener("abort", cancel, { once: true });
      if (signal?.aborted === true) cancel();
      child.once("error", (error) => reject(notStarted(error, projectDir)));
      child.once("close", (code) => {
        signal?.removeEventListener("abort", cancel);
        resolve({ code, output: lines.join("\n") });
      });
    });
}

/** What is wrong, in Pulumi's own words: the diagnostics without progress, or the end of the output. */
export function problemIn({ output }: PulumiResult): string {
  const own = [...errorsIn(output), ...violationsIn(output)].filter(
    (text) => !/^(?:preview|update|destroy) failed$|running inline program|^an unhandled/.test(text),
  );
  if (own.length > 0) return own.join(" ");
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return lines.slice(-15).join("\n");
}
