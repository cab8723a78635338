/** Reads requests as PVE's own HTTP server does (PVE::APIServer::AnyEvent), limits and oddities included. */
import { type IncomingMessage } from "node:http";
import { ApiError, messageOf } from "./errors";
import { type RawParameters } from "./params";
import { METHODS, type Method } from "./router";

/** `$limit_max_post`. Bytes. */
const MAX_BODY_BYTES = 512 * 1024;

export interface ApiRequest {
  readonly method: Method;
  /** Unescaped, without `/api2/json`. */
  readonly path: string;
  readonly params: RawParameters;
}

const PREFIX = /^\/+api2\/+json(?=\/|$)/;

/** @throws ApiError with PVE's status for what its server refuses. */
export async function readRequest(request: IncomingMessage): Promise<ApiRequest> {
  const method = METHODS.find((one) => one === request.method);
  if (method === undefined) throw new ApiError(501, `method '${request.method ?? ""}' not available`);
  const [rawPath, rawQuery] = splitOnce(request.url ?? "/", "?");
  const path = unescapePath(rawPath);
  if (!PREFIX.test(path)) throw new ApiError(501, `The lab serves /api2/json only, not '${path}'.`);
  const body = await readBody(request, method);
  // The query wins over the body.
  const params = { ...parseBody(body, request.headers["content-type"]), ...parseForm(rawQuery) };
  delete params["_dc"];
  return { method, path: path.replace(PREFIX, ""), params };
}

function unescapePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ApiError(400, `bad request: the path '${text}' is not valid percent-encoding`);
  }
}

async function readBody(request: IncomingMessage, method: Method): Promise<string> {
  if (request.headers["transfer-encoding"]?.includes("chunked") === true)
    throw new ApiError(501, "chunked transfer encoding not supported");
  const length = Number(request.headers["content-length"] ?? 0);
  if (length > 0 && (method === "GET" || method === "DELETE"))
    throw new ApiError(501, `Unexpected content for method '${method}'`);
  if (length > MAX_BODY_BYTES) throw new ApiError(501, `for data too large`);
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

function parseBody(body: string, contentType: string | undefined): Record<string, string | string[]> {
  if (body === "") return {};
  const type = (contentType ?? "application/x-www-form-urlencoded").split(";")[0]?.trim().toLowerCase();
  if (type === "application/x-www-form-urlencoded") return parseForm(body);
  if (type === "application/json") return parseJson(body);
  throw new ApiError(506, `got unsupported content type '${type ?? ""}'`);
}

function parseForm(text: string): Record<string, string | string[]> {
  const values: Record<string, string | string[]> = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const known = values[name];
    values[name] = known === undefined ? value : Array.isArray(known) ? [...known, value] : [known, value];
  }
  return values;
}

function parseJson(text: string): Record<string, string | string[]> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `malformed JSON string: ${messageOf(error)}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new ApiError(400, "the JSON body must be an object");
  const values: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(parsed)) {
    if (value === null) continue;
    values[name] = Array.isArray(value) ? value.map((item) => scalar(name, item)) : scalar(name, value);
  }
  return values;
}

function scalar(name: string, value: unknown): string {
  if (typeof value === "boolean") return value ? "1" : "0";
  if (typeof value === "string" || typeof value === "number") return String(value);
  throw new ApiError(400, "Parameter verification failed.", { [name]: "type check failed - got HASH" });
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
