/** The switchboard's control: a Unix socket in the lab's folder, which only root can open. */
import { chmodSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { messageOf } from "../errors";
import { assertSocketPath } from "../qemu/unix-socket";
import { isFaultName } from "./catalogue";
import { type Faults } from "./faults";

/** Path of the socket of a lab with this folder. */
export function controlSocket(dir: string): string {
  return join(dir, "control.sock");
}

/**
 * `GET /faults` lists what is on, `PUT /faults/NAME` with a scope as JSON switches on, `DELETE /faults/NAME` switches off,
 * `DELETE /faults` everything. Each answers with the list; a refusal is 400 with `message`.
 */
export async function startControl(faults: Faults, dir: string): Promise<AsyncDisposable> {
  const path = controlSocket(dir);
  assertSocketPath(path);
  const server = createServer((request, response) => void answer(faults, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(faults: Faults, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let status = 200;
  let body: unknown;
  try {
    await switchFaults(faults, request);
    body = faults.list();
  } catch (error) {
    status = 400;
    body = { message: messageOf(error) };
  }
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

async function switchFaults(faults: Faults, request: IncomingMessage): Promise<void> {
  const [, name] = /^\/faults(?:\/([\w-]+))?$/.exec(request.url ?? "") ?? [];
  const what = `${request.method ?? ""} ${request.url ?? ""}`;
  if (what === "GET /faults") return;
  if (what === "DELETE /faults") {
    faults.allOff();
    return;
  }
  if (name === undefined || !isFaultName(name)) throw new Error(`Unable to do ${what}: there is no such fault.`);
  if (request.method === "DELETE") {
    faults.off(name);
    return;
  }
  if (request.method !== "PUT") throw new Error(`Unable to do ${what}: PUT switches on, DELETE switches off.`);
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString("utf8");
  faults.on(name, text === "" ? {} : JSON.parse(text));
}
