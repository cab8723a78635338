/** Unix sockets of a running machine. */
import { connect, type Socket } from "node:net";

/** Linux keeps the path of a Unix socket in 108 bytes, the last of them NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Connects to a Unix socket that may not exist yet.
 *
 * Tries until `timeoutMs` is over or `stillExpected` says that nobody will listen any more. Throws with the last cause.
 */
export async function connectUnixSocket(
  path: string,
  timeoutMs: number,
  stillExpected: () => boolean = () => true,
): Promise<Socket> {
  assertSocketPath(path);
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = connect(path);
        socket.once("error", reject);
        socket.once("connect", () => {
          socket.off("error", reject);
          resolve(socket);
        });
      });
    } catch (cause) {
      if (Date.now() >= deadline || !stillExpected()) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`Unable to connect to ${path}: ${reason}. See QEMU's log beside it.`, { cause });
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

/** Refuses a path that the kernel would cut off. */
export function assertSocketPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new Error(
      `Unable to use socket ${path}: the path has ${Buffer.byteLength(path)} bytes and Linux allows ${MAX_SOCKET_PATH_BYTES}. ` +
        "Give the lab a folder with a shorter path.",
    );
  }
}
