/** Commands on the Docker VM over SSH, with the host key verified. */
import { readFile } from "node:fs/promises";
import type { Client, ConnectConfig } from "ssh2";
import type { SshTarget } from "./contract/production";
import { expandHome } from "./files";
import { keyOfBlob, knownHostKeys, knownHostName } from "./known-hosts";

/** How a command ended. */
export interface SshResult {
  /** -1 when a signal ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SshCommandOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Standard input of the command. */
  readonly input?: string;
}

/** Whether a host key (`<type> <base64>`) is the one that is expected. */
export type HostKeyCheck = (hostKey: string) => boolean;

/** Nothing could be asked: no route, refused, another host key, login refused. */
export class SshConnectionError extends Error {
  constructor(
    { user, address }: SshTarget,
    cause: string,
    /** True for a key that was not the expected one. */
    readonly isForeignHostKey: boolean,
    options?: ErrorOptions,
  ) {
    super(`Unable to connect to ${user}@${address} by SSH: ${cause}`, options);
    this.name = "SshConnectionError";
  }
}

/** An open connection; `await using` closes it. */
export interface SshConnection extends AsyncDisposable {
  /** Key that the host proved to have, `<type> <base64>`. */
  readonly hostKey: string;
  run(command: string, options: SshCommandOptions): Promise<SshResult>;
}

const HANDSHAKE_MS = 30_000;

/**
 * Connects. The handshake ends before the key of the operator is used when the host key is not as expected.
 *
 * @throws SshConnectionError; an error that names the key file when it can't be read.
 */
export async function connect(
  target: SshTarget,
  isExpected: HostKeyCheck,
  signal: AbortSignal,
): Promise<SshConnection> {
  const { Client: SshClient } = await import("ssh2");
  const privateKey = await readPrivateKey(target.privateKeyFile);
  signal.throwIfAborted();
  const client = new SshClient();
  let hostKey = "";
  const config: ConnectConfig = {
    host: target.address,
    port: target.port ?? 22,
    username: target.user,
    privateKey,
    readyTimeout: HANDSHAKE_MS,
    keepaliveInterval: 15_000,
    hostVerifier: (blob: Buffer) => {
      hostKey = keyOfBlob(blob);
      return isExpected(hostKey);
    },
  };
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      client.destroy();
      reject(signal.reason instanceof Error ? signal.reason : new Error("cancelled"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    const done = (): void => signal.removeEventListener("abort", onAbort);
    client
      .once("ready", () => {
        done();
        resolve();
      })
      .on("error", (error) => {
        done();
        const isForeign = hostKey !== "" && !isExpected(hostKey);
        const cause = isForeign ? `it has the unexpected host key ${hostKey}` : error.message;
        reject(new SshConnectionError(target, cause, isForeign, { cause: error }));
      })
      .connect(config);
  });
  return {
    hostKey,
    run: (command, options) => runCommand(client, target, command, options),
    async [Symbol.asyncDispose]() {
      client.end();
    },
  };
}

/** Connects with the keys that readiness wrote into the known-hosts file. */
export async function connectToKnownHost(target: SshTarget, signal: AbortSignal): Promise<SshConnection> {
  const keys = await knownHostKeys(expandHome(target.knownHostsFile), knownHostName(target));
  if (keys.length === 0) {
    throw new Error(
      `Unable to connect to ${target.user}@${target.address} by SSH: ${target.knownHostsFile} has no host key of it. ` +
        "Bring prod up, which writes it, or add what ssh-keyscan says, compared with the VM's own.",
    );
  }
  return connect(target, (key) => keys.includes(key), signal);
}

async function readPrivateKey(file: string): Promise<Buffer> {
  try {
    return await readFile(expandHome(file));
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`Unable to read the private SSH key ${file}: ${cause}. Correct its path in the configuration.`, {
      cause: error,
    });
  }
}

async function runCommand(
  client: Client,
  target: SshTarget,
  command: string,
  { timeoutMs, signal, input }: SshCommandOptions,
): Promise<SshResult> {
  return new Promise((resolve, reject) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)))]);
    const fail = (error: Error): void => {
      limit.removeEventListener("abort", onAbort);
      reject(error);
    };
    const onAbort = (): void => {
      client.destroy();
      const cause = signal.aborted
        ? "the update was cancelled"
        : `it had not ended after ${Math.round(timeoutMs / 1000)} s`;
      fail(new SshConnectionError(target, `command "${firstWords(command)}": ${cause}`, false));
    };
    limit.addEventListener("abort", onAbort, { once: true });
    if (limit.aborted) {
      onAbort();
      return;
    }
    client.once("close", () => fail(new SshConnectionError(target, "the connection was closed", false)));
    client.exec(command, (error, channel) => {
      if (error !== undefined) {
        fail(new SshConnectionError(target, error.message, false, { cause: error }));
        return;
      }
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      let exitCode = -1;
      channel.on("data", (chunk: Buffer) => out.push(chunk));
      channel.stderr.on("data", (chunk: Buffer) => err.push(chunk));
      channel.on("exit", (code: number | null) => (exitCode = code ?? -1));
      channel.on("close", () => {
        limit.removeEventListener("abort", onAbort);
        resolve({ exitCode, stdout: Buffer.concat(out).toString("utf8"), stderr: Buffer.concat(err).toString("utf8") });
      });
      channel.end(input ?? "");
    });
  });
}

function firstWords(command: string): string {
  return command.split(/\s+/).slice(0, 4).join(" ");
}

/** A word for the shell, quoted whatever it contains. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
