/** Commands in a container of the Docker VM, over SSH, tried until the container can be asked. */
import { pollUntil } from "../pve/wait";
import type { SshTarget } from "./contract/production";
import { connectToKnownHost, quote, type SshResult } from "./ssh";
import { shorten } from "./text";

/** Which container is asked and how long. */
export interface ContainerTarget {
  readonly ssh: SshTarget;
  readonly container: string;
  readonly timeoutSeconds: number;
}

/** The last try also gets time to end. */
const LEAST_MS = 10_000;

const NOT_RUNNING = /is not running|is restarting|No such container|cannot exec in a stopped/i;

/**
 * Runs a shell script in a container. `isDone` says whether the result is final; others are tried again until the time is over,
 * and then the last one is given.
 */
export async function runInContainer(
  { ssh, container, timeoutSeconds }: ContainerTarget,
  script: string,
  signal: AbortSignal,
  { input, isDone = () => true }: { input?: string; isDone?: (result: SshResult) => boolean } = {},
): Promise<SshResult> {
  await using connection = await connectToKnownHost(ssh, signal);
  const command = `docker exec -i ${quote(container)} sh -c ${quote(script)}`;
  let last: SshResult = { exitCode: -1, stdout: "", stderr: "not tried" };
  const wait = { timeoutMs: timeoutSeconds * 1000, signal, firstPauseMs: 500, longestPauseMs: 2000 };
  await pollUntil(wait, async (leftMs) => {
    last = await connection.run(command, {
      timeoutMs: Math.max(leftMs, LEAST_MS),
      signal,
      ...(input === undefined ? {} : { input }),
    });
    return isNotRunning(last) || !isDone(last) ? undefined : true;
  });
  if (isNotRunning(last)) {
    throw new Error(
      `Unable to ask container ${container} on ${ssh.address}: ${shorten(last.stderr)}. ` +
        "See docker ps and docker logs on the VM.",
    );
  }
  return last;
}

function isNotRunning({ exitCode, stderr }: SshResult): boolean {
  return exitCode !== 0 && NOT_RUNNING.test(stderr) && /daemon|No such container/.test(stderr);
}
