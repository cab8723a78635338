/**
 * Cloudflare API v4 as far as a DNS record's life needs it: token check, zones, DNS records. Shapes and codes follow
 * https://developers.cloudflare.com/api/; what is missing answers 501 and says so.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fastify, { type FastifyRequest } from "fastify";
import type { LabSpec } from "../spec";
import { CloudflareError, notEmulated, refusal } from "./errors";
import { printHosts } from "./hosts-file";
import { listRecords, page, printRecord, printZone } from "./output";
import { RecordStore } from "./store";
import { normalizeRecord } from "./validate";

export interface CloudflareOptions {
  readonly spec: LabSpec;
  /** PEM key (secret) and certificate chain, made by the lab's CA for the node's address. */
  readonly tls: { readonly key: string; readonly cert: string };
  /** Folder for `cloudflare-records.json` and `cloudflare-requests.ndjson`. */
  readonly dir: string;
  /** Kept equal to the records, as the network's resolver would be. Default: the namespace's, where it exists. */
  readonly hostsFile?: string;
  /** Default: the node's address. */
  readonly address?: string;
}

/** A running server; disposing closes it. */
export interface RunningServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
}

const BASE = "/client/v4";
type Params = Record<string, string>;

/** Serves the emulated account over HTTPS. Resolves when it listens. */
export async function startCloudflare(options: CloudflareOptions): Promise<RunningServer> {
  const { spec } = options;
  const hostsFile = options.hostsFile ?? `/etc/netns/homelab-${spec.id}/hosts`;
  const store = new RecordStore(join(options.dir, "cloudflare-records.json"), (records) => {
    // In place: the file is bind-mounted over /etc/hosts in every process of the namespace.
    if (existsSync(hostsFile))
      writeFileSync(hostsFile, printHosts(records, [`${spec.node.address} ${spec.node.name}`]));
  });
  const app = fastify({ https: { ...options.tls, minVersion: "TLSv1.2" }, exposeHeadRoutes: false });
  // An empty body with a JSON content type is what SDKs send with DELETE.
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, text, done) => {
    try {
      done(null, text === "" ? undefined : JSON.parse(text as string));
    } catch {
      done(refusal(400, 9207, "Request body is invalid."));
    }
  });
  const requestLog = join(options.dir, "cloudflare-requests.ndjson");

  const zoneOf = (request: FastifyRequest) => {
    const id = (request.params as Params)["zone"] ?? "";
    if (!/^[0-9a-f]{32}$/.test(id)) {
      const path = `${BASE}/zones/${id}`;
      throw refusal(400, 7003, `Could not route to ${path}, perhaps your object identifier is invalid?`);
    }
    const zone = spec.cloudflare.zones.find((candidate) => candidate.id === id);
    if (zone === undefined) throw refusal(403, 9109, "Unauthorized to access requested resource");
    return zone;
  };
  const recordIdOf = (request: FastifyRequest) => (request.params as Params)["record"] ?? "";
  const ok = (result: unknown) => ({ result, success: true, errors: [], messages: [] });

  app.addHook("onRequest", (request, _reply, done) => {
    done(authError(request.headers.authorization, spec.cloudflare.apiToken, request.url));
  });
  app.addHook("onResponse", (request, reply, done) => {
    const entry = { at: new Date().toISOString(), method: request.method, path: request.url, status: reply.statusCode };
    appendFileSync(requestLog, JSON.stringify(entry) + "\n");
    done();
  });
  app.setErrorHandler((error, request, reply) => {
    const known = error instanceof CloudflareError ? error : bodyError(error);
    const details = known?.details ?? [{ code: 1, message: "The lab's Cloudflare emulation failed; see its log." }];
    if (known === undefined) process.stderr.write(`cloudflare: ${request.method} ${request.url}: ${String(error)}\n`);
    void reply.status(known?.status ?? 500).send({ result: null, success: false, errors: details, messages: [] });
  });
  app.setNotFoundHandler((request) => {
    throw notEmulated(`Cloudflare's ${request.method} ${request.url.split("?")[0] ?? ""}`);
  });

  app.get(`${BASE}/user/tokens/verify`, () => ({
    ...ok({ id: tokenId(spec.cloudflare.apiToken), status: "active" }),
    messages: [{ code: 10000, message: "This API Token is valid and active", type: null }],
  }));
  app.get(`${BASE}/zones`, (request) => {
    const query = request.query as Params;
    const allowed = new Set(["name", "page", "per_page", "status", "account.id", "match", "order", "direction"]);
    const unknown = Object.keys(query).find((key) => !allowed.has(key));
    if (unknown !== undefined) throw notEmulated(`the zone filter "${unknown}"`);
    const zones = spec.cloudflare.zones.filter((zone) => query["name"] === undefined || zone.name === query["name"]);
    return page(zones.map(printZone), query, 20);
  });
  app.get(`${BASE}/zones/:zone`, (request) => ok(printZone(zoneOf(request))));

  const records = `${BASE}/zones/:zone/dns_records`;
  app.get(records, (request) => {
    const query = request.query as Params;
    return page(listRecords(store.list(zoneOf(request).id), query).map(printRecord), query, 100);
  });
  app.post(records, (request) => {
    const zone = zoneOf(request);
    return ok(printRecord(store.create(zone.id, normalizeRecord(objectOf(request.body), zone.name))));
  });
  app.get(`${records}/:record`, (request) => ok(printRecord(store.get(zoneOf(request).id, recordIdOf(request)))));
  app.put(`${records}/:record`, (request) => {
    const zone = zoneOf(request);
    const content = normalizeRecord(objectOf(request.body), zone.name);
    return ok(printRecord(store.replace(zone.id, recordIdOf(request), content)));
  });
  app.patch(`${records}/:record`, (request) => {
    const zone = zoneOf(request);
    const { type, name, content, ttl, proxied, comment, tags, settings } = store.get(zone.id, recordIdOf(request));
    const old = { type, name, content, ttl, proxied, comment, tags, settings };
    const merged = normalizeRecord({ ...old, ...objectOf(request.body) }, zone.name);
    return ok(printRecord(store.replace(zone.id, recordIdOf(request), merged)));
  });
  app.delete(`${records}/:record`, (request) => {
    store.delete(zoneOf(request).id, recordIdOf(request));
    return ok({ id: recordIdOf(request) });
  });

  const address = options.address ?? spec.node.address;
  await app.listen({ host: address, port: spec.cloudflare.port });
  const bound = app.server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : spec.cloudflare.port;
  return { address, port, [Symbol.asyncDispose]: () => app.close() };
}

function objectOf(body: unknown): Record<string, unknown> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw refusal(400, 9207, "Request body is invalid.");
  }
  return { ...body };
}

/** Undefined when the bearer token is the account's. */
function authError(header: string | undefined, token: string, url: string): CloudflareError | undefined {
  if (header === undefined) {
    return refusal(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers");
  }
  const sent = /^Bearer ([A-Za-z0-9_-]+)$/.exec(header)?.[1];
  if (sent === undefined) {
    const chain = [{ code: 6111, message: "Invalid format for Authorization header" }];
    return new CloudflareError(400, [{ code: 6003, message: "Invalid request headers", error_chain: chain }]);
  }
  if (timingSafeEqual(digest(sent), digest(token))) return undefined;
  if (url.startsWith(`${BASE}/user/tokens/verify`)) return refusal(401, 1000, "Invalid API Token");
  return refusal(403, 10000, "Authentication error");
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function tokenId(token: string): string {
  return digest(token).toString("hex").slice(0, 32);
}

/** Fastify's own refusal of a body (bad JSON, media type) as Cloudflare words it. */
function bodyError(error: unknown): CloudflareError | undefined {
  const status = typeof error === "object" && error !== null && "statusCode" in error ? error.statusCode : undefined;
  return typeof status === "number" && status < 500 ? refusal(400, 9207, "Request body is invalid.") : undefined;
}
