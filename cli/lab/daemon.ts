import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { labSpecSchema, type LabSpec } from "../../lab/spec";
import { CliError } from "../errors";
import { insideNamespace } from "./namespace";
import { nodeCommand } from "./node-command";
import type { LabPaths } from "./paths";

const READY_TIMEOUT_MS = 60_000;

/**
 * Starts the lab's daemon in its namespace and returns when its APIs answer. It outlives this process; its output goes to
 * the lab's log file.
 */
export async function startDaemon(
  paths: LabPaths,
  repoDir: string,
  spec: LabSpec,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  await writeFile(paths.specFile, JSON.stringify(labSpecSchema.parse(spec), undefined, 2), { mode: 0o600 });
  const command = nodeCommand("lab/main.ts", [paths.specFile], repoDir);
  const { program, args } = insideNamespace(paths, command);
  // Not the certificate variables: the daemon makes that file, and Node warns about a missing one.
  const env: NodeJS.ProcessEnv = { ...environment, SSL_CERT_FILE: undefined, NODE_EXTRA_CA_CERTS: undefined };
  const log = openSync(paths.logFile, "a", 0o600);
  const child = spawn(program, args, { cwd: paths.dir, env, stdio: ["ignore", log, log], detached: true });
  closeSync(log);
  let ended: string | undefined;
  child.once("error", (error) => (ended = error.message));
  child.once("exit", (code, signal) => (ended = signal ?? `exit code ${code ?? "unknown"}`));
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!/^ready$/m.test(readFileSync(paths.logFile, "utf8"))) {
    const cause = ended ?? (Date.now() > deadline ? `not ready within ${READY_TIMEOUT_MS / 1000} s` : undefined);
    if (cause !== undefined) {
      throw new CliError(
        `Unable to start the lab: ${cause}. The last lines of ${paths.logFile}:\n${logTail(paths, 25)}`,
      );
    }
    await sleep(100);
  }
  child.removeAllListeners();
  child.unref();
}

/** The last lines of the daemon's log; empty if there is none. */
export function logTail(paths: LabPaths, lines: number): string {
  try {
    return readFileSync(paths.logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  } catch {
    return "";
  }
}
