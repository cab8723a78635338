/**
 * Client of the QEMU Machine Protocol: greeting, capabilities, commands matched by id, events.
 * Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html
 */
import type { Socket } from "node:net";

import type { Qmp } from "../types";
import { connectUnixSocket } from "./unix-socket";

/** QEMU refused a command. The text is Proxmox VE's form of QEMU's own description. */
export class QmpError extends Error {
  override readonly name = "QmpError";

  constructor(
    vmId: number,
    readonly command: string,
    /** QMP's error class, `GenericError` or `CommandNotFound` among others. */
    readonly errorClass: string,
    readonly description: string,
  ) {
    super(`VM ${vmId} qmp command '${command}' failed - ${description}`);
  }
}

/** The machine ended, or closed the connection, while something was expected of it. */
export class MachineGone extends Error {
  override readonly name = "MachineGone";

  constructor(vmId: number, awaited: string) {
    super(`VM ${vmId} ${awaited} failed - client closed connection`);
  }
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Waiter {
  readonly name: string;
  readonly matches: (data: Record<string, unknown>) => boolean;
  readonly resolve: (data: Record<string, unknown>) => void;
  readonly reject: (error: Error) => void;
}

type EventListener = (name: string, data: Record<string, unknown>) => void;

/** One connection for the whole life of a machine. QEMU serves one client at a time on its socket. */
export class QmpClient implements Qmp {
  private nextId = 1;
  private closed = false;
  private readonly pending = new Map<number, Pending>();
  private readonly waiters = new Set<Waiter>();
  private readonly listeners = new Set<EventListener>();

  private constructor(
    private readonly vmId: number,
    private readonly socket: Socket,
  ) {
    // A reset arrives as `error` and then `close`; what waits is told by `close`.
    socket.on("error", () => undefined);
    socket.on("close", () => this.fail());
  }

  /** Connects and leaves the negotiation mode. `stillExpected` ends the tries early, when QEMU is gone. */
  static async connect(
    vmId: number,
    path: string,
    timeoutMs: number,
    stillExpected: () => boolean,
  ): Promise<QmpClient> {
    const socket = await connectUnixSocket(path, timeoutMs, stillExpected);
    const client = new QmpClient(vmId, socket);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new Error(`Unable to talk to VM ${vmId}: QEMU sent no greeting within ${timeoutMs} ms. See its log.`));
      }, timeoutMs);
      socket.once("close", () => {
        clearTimeout(timer);
        reject(new MachineGone(vmId, "qmp greeting"));
      });
      readJsonLines(socket, (message) => {
        if ("QMP" in message) {
          clearTimeout(timer);
          resolve();
        } else {
          client.receive(message);
        }
      });
    });
    await client.execute("qmp_capabilities");
    return client;
  }

  async execute<T = unknown>(command: string, args?: Record<string, unknown>): Promise<T> {
    if (this.closed) throw new MachineGone(this.vmId, `qmp command '${command}'`);
    const id = this.nextId++;
    const answer = new Promise<unknown>((resolve, reject) => this.pending.set(id, { command, resolve, reject }));
    this.socket.write(`${JSON.stringify({ execute: command, ...(args ? { arguments: args } : {}), id })}\n`);
    return (await answer) as T;
  }

  waitForEvent(
    name: string,
    filter: (data: Record<string, unknown>) => boolean,
    timeoutMs: number,
  ): Promise<Record<string, unknown>> {
    if (this.closed) return Promise.reject(new MachineGone(this.vmId, `wait for event ${name}`));
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
      };
      const waiter: Waiter = {
        name,
        matches: filter,
        resolve: (data) => {
          end();
          resolve(data);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      const timer = setTimeout(
        () => waiter.reject(new Error(`VM ${this.vmId} wait for event ${name} failed - got timeout`)),
        timeoutMs,
      );
      this.waiters.add(waiter);
    });
  }

  /** Calls `listener` for each event until the connection ends. */
  onEvent(listener: EventListener): void {
    this.listeners.add(listener);
  }

  close(): void {
    this.socket.destroy();
    this.fail();
  }

  private receive(message: Record<string, unknown>): void {
    if (typeof message.event === "string") {
      const data = (message.data ?? {}) as Record<string, unknown>;
      for (const listener of this.listeners) listener(message.event, data);
      for (const waiter of [...this.waiters]) {
        if (waiter.name === message.event && waiter.matches(data)) waiter.resolve(data);
      }
      return;
    }
    const pending = this.pending.get(Number(message.id));
    if (!pending) return;
    this.pending.delete(Number(message.id));
    if ("error" in message) {
      const { class: errorClass, desc } = message.error as { class: string; desc: string };
      pending.reject(new QmpError(this.vmId, pending.command, errorClass, desc));
    } else {
      pending.resolve(message.return);
    }
  }

  private fail(): void {
    this.closed = true;
    for (const { command, reject } of this.pending.values()) {
      reject(new MachineGone(this.vmId, `qmp command '${command}'`));
    }
    this.pending.clear();
    for (const waiter of [...this.waiters]) waiter.reject(new MachineGone(this.vmId, `wait for event ${waiter.name}`));
  }
}

/** Cuts the stream into lines; QMP sends one JSON object a line. */
function readJsonLines(socket: Socket, onMessage: (message: Record<string, unknown>) => void): void {
  let pending: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...pending, chunk.subarray(start, end)]).toString("utf8");
      pending = [];
      start = end + 1;
      onMessage(JSON.parse(line) as Record<string, unknown>);
    }
    if (start < chunk.length) pending.push(chunk.subarray(start));
  });
}
