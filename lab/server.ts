/** The HTTPS server of the emulated API: requests in, handlers, answers in PVE's shapes. */
import { appendFileSync } from "node:fs";
import { createServer } from "node:https";
import { type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { isNativeError } from "node:util/types";
import { authenticate, AUTHENTICATION_DELAY_MS } from "./auth";
import { type Lab } from "./context";
import { ApiError, messageOf, notEmulated } from "./errors";
import { type CallEffect, type FaultName } from "./faults/catalogue";
import { handlers } from "./handlers";
import { readRequest, type ApiRequest } from "./http-request";
import { type RawParameters } from "./params";
import { Access, AccessControl } from "./privileges/access-control";
import { dispatch, Page, Router } from "./router";
import { type Identity } from "./tls";

export interface ApiServerArgs {
  readonly lab: Lab;
  readonly tls: Identity;
  readonly address: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** One JSON line per request, for tests that ask what a client did. */
  readonly requestLog: string;
  readonly log: (line: string) => void;
  /** How long a failed authentication is held back. Default: PVE's. */
  readonly authenticationDelayMs?: number;
}

/** A running server; disposing closes it with its connections. */
export interface ApiServer extends AsyncDisposable {
  readonly port: number;
}

/** Parameters that never reach a log. */
const SECRETS = new Set(["cipassword", "password", "input-data", "sshkeys"]);

/** Resolves when the server listens. */
export async function startApiServer(args: ApiServerArgs): Promise<ApiServer> {
  const router = new Router(handlers);
  const control = new AccessControl(args.lab.acl, args.lab.pools);
  const server = createServer(
    { key: args.tls.key, cert: args.tls.cert, minVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"] },
    (request, response) => {
      void answer(args, { router, control }, request, response);
    },
  );
  // A client that reuses a connection just as it is closed sees a reset; PVE keeps idle ones for 5 s.
  server.keepAliveTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(args.port, args.address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  args: ApiServerArgs,
  { router, control }: { router: Router; control: AccessControl },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const seen: Seen = {};
  let status = 200;
  try {
    const api = await readRequest(request);
    seen.api = api;
    if (/^\/+access\/+ticket\/*$/.test(api.path)) throw notEmulated("tickets; use an API token");
    const caller = authenticate(request.headers.authorization, args.lab.spec.apiTokens);
    seen.user = caller.name;
    const fault = args.lab.faults.onCall(api.method, api.path);
    seen.fault = fault?.name;
    if (fault !== undefined && (await breaks(args.lab, fault.effect, api, response))) return;
    const { observer } = args.lab.faults;
    if (observer?.before(api.method, api.path) === false) {
      request.socket.destroy();
      return;
    }
    const { handler, pathParameters } = router.find(api.method, api.path);
    const access = new Access(control, caller.name);
    const data = await dispatch(handler, { lab: args.lab, caller, access, sent: api.params, pathParameters });
    if (observer?.after(api.method, api.path) === false || fault?.effect.do === "lose-answer") {
      request.socket.destroy();
      return;
    }
    const body = data instanceof Page ? { data: data.data, total: data.total } : { data: data ?? null };
    send(response, 200, "OK", body);
  } catch (error) {
    const failure = error instanceof ApiError ? error : new ApiError(500, messageOf(error));
    status = failure.status;
    if (!(error instanceof ApiError) && !isExpected(error))
      args.log(
        `${request.method ?? ""} ${request.url ?? ""}: ${isNativeError(error) ? (error.stack ?? error.message) : String(error)}`,
      );
    if (status === 401) await delay(args.authenticationDelayMs ?? AUTHENTICATION_DELAY_MS);
    sendFailure(response, failure);
  } finally {
    appendFileSync(args.requestLog, `${JSON.stringify(logEntry(args.lab, request, seen, status))}\n`);
  }
}

/** What became known of a request, for the log. */
interface Seen {
  api?: ApiRequest;
  user?: string;
  fault?: FaultName;
}

/**
 * What a fault does before a call is made. Gives whether the call is over with that.
 *
 * @throws ApiError for an answer that is an error
 */
async function breaks(lab: Lab, effect: CallEffect, { path }: ApiRequest, response: ServerResponse): Promise<boolean> {
  switch (effect.do) {
    case "answer":
      throw new ApiError(effect.status, effect.text);
    case "html":
      response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>Please sign in</title>");
      return true;
    case "hang":
      return true;
    case "reset":
      response.socket?.destroy();
      return true;
    case "delay":
      await delay(effect.milliseconds);
      return false;
    case "lock": {
      const vmId = Number(/\/qemu\/(\d+)\//.exec(path)?.[1]);
      lab.guests.write(vmId, { current: { ...lab.guests.read(vmId).current, lock: effect.lock } });
      return false;
    }
    case "lose-answer":
      return false;
    default:
      return effect satisfies never;
  }
}

/** PVE's domain errors are plain; what JavaScript itself throws is a defect of the lab and belongs into its log. */
function isExpected(error: unknown): boolean {
  return !(
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError ||
    error instanceof SyntaxError
  );
}

function sendFailure(response: ServerResponse, { status, message, errors }: ApiError): void {
  // The first line is the reason phrase; only printable ASCII may stand there.
  const reason = (message.split("\n")[0] ?? "").replace(/[^\x20-\x7e]/g, "?");
  response.setHeader("Connection", "close");
  if (status === 401) {
    send(response, status, reason, undefined);
    return;
  }
  send(response, status, reason, { data: null, message: `${message}\n`, ...(errors === undefined ? {} : { errors }) });
}

function send(response: ServerResponse, status: number, reason: string, body: unknown): void {
  const text = body === undefined ? "" : JSON.stringify(body);
  response.writeHead(status, reason, {
    "Cache-Control": "max-age=0",
    Pragma: "no-cache",
    Server: "pve-api-daemon/3.0",
    ...(text === "" ? {} : { "Content-Type": "application/json;charset=UTF-8" }),
    "Content-Length": Buffer.byteLength(text),
  });
  response.end(text);
}

function logEntry(
  lab: Lab,
  request: IncomingMessage,
  { api, user, fault }: Seen,
  status: number,
): Record<string, unknown> {
  return {
    at: lab.now().toISOString(),
    method: request.method,
    path: api?.path ?? request.url?.split("?")[0],
    params: withoutSecrets(api?.path ?? "", api?.params ?? {}),
    status,
    user: user ?? null,
    ...(fault === undefined ? {} : { fault }),
  };
}

function withoutSecrets(path: string, params: RawParameters): RawParameters {
  const isSecret = (name: string): boolean => SECRETS.has(name) || (name === "content" && path.endsWith("/file-write"));
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, isSecret(name) ? "[secret]" : value]));
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
