/**
 * Client of the QEMU guest agent over its virtio-serial socket.
 *
 * Each command is preceded by `guest-sync-delimited`, and is sent only after its answer came: an agent that doesn't answer
 * never finds an old command to run when it comes back, and the answer to a command that timed out is never taken for another's.
 * Protocol: https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
 */
import type { Socket } from "node:net";

import type { GuestAgent } from "../types";
import { connectUnixSocket } from "./unix-socket";

/** Time limits as Proxmox VE has them for a ping, and a generous one for the rest under emulation. */
const PING_TIMEOUT_MS = 3_000;
const COMMAND_TIMEOUT_MS = 30_000;
/** How often to look whether the guest has opened the agent's port. */
const PORT_POLL_MS = 100;

/** The agent did not answer in time, or isn't there (port closed in the guest, machine stopped). */
export class AgentTimeout extends Error {
  override readonly name = "AgentTimeout";

  constructor(vmId: number, command: string, reason = "got timeout") {
    super(`VM ${vmId} qga command '${command}' failed - ${reason}`);
  }
}

/** The agent answered with an error. */
export class AgentError extends Error {
  override readonly name = "AgentError";

  constructor(
    readonly command: string,
    readonly errorClass: string,
    readonly description: string,
  ) {
    super(`Agent error: ${description}`);
  }
}

/** One connection for the life of a machine: an agent whose host side is closed polls ten times a second in the guest. */
export class AgentClient implements GuestAgent {
  private queue: Promise<unknown> = Promise.resolve();
  private buffer = Buffer.alloc(0);
  private wake: (() => void) | undefined;
  private nextSyncId = Math.floor(Math.random() * 0x40000000);
  private closed = false;

  private constructor(
    private readonly vmId: number,
    private readonly socket: Socket,
    private readonly isPortOpen: () => Promise<boolean>,
  ) {
    socket.on("data", (chunk: Buffer) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      this.wake?.();
    });
    socket.on("error", () => undefined); // followed by `close`
    socket.on("close", () => {
      this.closed = true;
      this.wake?.();
    });
  }

  /** `isPortOpen`: whether a process in the guest holds the agent's port open (QEMU knows; see `query-chardev`). */
  static async connect(
    vmId: number,
    path: string,
    timeoutMs: number,
    isPortOpen: () => Promise<boolean>,
  ): Promise<AgentClient> {
    return new AgentClient(vmId, await connectUnixSocket(path, timeoutMs), isPortOpen);
  }

  execute<T = unknown>(command: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<T> {
    const limitMs = timeoutMs ?? (command === "guest-ping" ? PING_TIMEOUT_MS : COMMAND_TIMEOUT_MS);
    return this.serialise(() => this.run<T>(command, args, limitMs, true));
  }

  /** For commands that answer only on failure (`guest-shutdown`). Resolves when the agent has been asked. */
  async request(command: string, args?: Record<string, unknown>, timeoutMs = PING_TIMEOUT_MS): Promise<void> {
    await this.serialise(() => this.run(command, args, timeoutMs, false));
  }

  close(): void {
    this.closed = true;
    this.socket.destroy();
    this.wake?.();
  }

  private serialise<T>(run: () => Promise<T>): Promise<T> {
    const result = this.queue.then(run);
    this.queue = result.catch(() => undefined); // the caller has the error; the next command starts either way
    return result;
  }

  private async run<T>(
    command: string,
    args: Record<string, unknown> | undefined,
    limitMs: number,
    answers: boolean,
  ): Promise<T> {
    const deadline = Date.now() + limitMs;
    await this.waitForPort(command, deadline);
    await this.synchronise(command, deadline);
    this.send({ execute: command, ...(args ? { arguments: args } : {}) });
    if (!answers) return undefined as T;
    const message = await this.nextMessage(command, deadline);
    if ("error" in message) {
      const { class: errorClass, desc } = message.error as { class: string; desc: string };
      throw new AgentError(command, errorClass, desc);
    }
    return message.return as T;
  }

  /** A command written to a port that nobody in the guest reads would wait there until the agent starts. */
  private async waitForPort(command: string, deadline: number): Promise<void> {
    for (;;) {
      if (this.closed) throw new AgentTimeout(this.vmId, command, "client closed connection");
      if (await this.isPortOpen().catch(() => false)) return;
      if (Date.now() >= deadline) throw new AgentTimeout(this.vmId, command);
      await new Promise((resolve) => setTimeout(resolve, PORT_POLL_MS));
    }
  }

  private async synchronise(command: string, deadline: number): Promise<void> {
    const id = this.nextSyncId++;
    this.buffer = Buffer.alloc(0);
    // The leading 0xFF makes the agent drop a half command; it sends one before its answer so that we drop a half answer.
    this.socket.write(Buffer.from([0xff]));
    this.send({ execute: "guest-sync-delimited", arguments: { id } });
    for (;;) {
      const message = await this.nextMessage(command, deadline, true);
      if (message.return === id) return;
    }
  }

  /** `delimited`: only what follows a 0xFF byte counts. */
  private async nextMessage(command: string, deadline: number, delimited = false): Promise<Record<string, unknown>> {
    for (;;) {
      const message = this.takeMessage(delimited);
      if (message) return message;
      if (this.closed) throw new AgentTimeout(this.vmId, command, "client closed connection");
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new AgentTimeout(this.vmId, command);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = undefined;
    }
  }

  /** The next whole line, if it is here. A line that is no JSON is the rest of an answer to a command long given up. */
  private takeMessage(delimited: boolean): Record<string, unknown> | undefined {
    if (delimited) {
      const delimiter = this.buffer.lastIndexOf(0xff);
      if (delimiter < 0) return undefined;
      this.buffer = this.buffer.subarray(delimiter);
    }
    const end = this.buffer.indexOf(10, delimited ? 1 : 0);
    if (end < 0) return undefined;
    const line = this.buffer.subarray(delimited ? 1 : 0, end).toString("utf8");
    this.buffer = this.buffer.subarray(end + 1);
    try {
      return JSON.parse(line) as Record<string, unknown>;
    } catch {
      return this.takeMessage(delimited);
    }
  }

  private send(message: Record<string, unknown>): void {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }
}
