/**
 * The guests' image mirror: a read-only registry over an OCI layout, by the OCI Distribution Specification 1.1
 * (https://github.com/opencontainers/distribution-spec). Docker asks a mirror for `library/<name>` where the image has no
 * owner. Plain HTTP: the guest's Docker names it as an insecure mirror on the lab's own bridge.
 */
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { LabSpec } from "../spec";
import type { RunningServer } from "../cloudflare/server";

export interface RegistryOptions {
  readonly spec: LabSpec;
  /** Default: every address of the namespace, so that each bridge's guests reach it at their gateway. */
  readonly address?: string;
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const NAME = "[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*";
const MANIFEST_PATH = new RegExp(`^/v2/(${NAME})/manifests/([A-Za-z0-9_][A-Za-z0-9._:-]{0,127})$`);
const BLOB_PATH = new RegExp(`^/v2/(${NAME})/blobs/([^/]+)$`);
const TAGS_PATH = new RegExp(`^/v2/(${NAME})/tags/list$`);

class RegistryError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "RegistryError";
  }
}

/** Serves the image builder's layout. Resolves when it listens. */
export async function startRegistry(options: RegistryOptions): Promise<RunningServer> {
  const { spec } = options;
  const server = createServer((request, response) => {
    answer(request, response, spec.registry).catch((error: unknown) => sendError(response, error));
  });
  const address = options.address ?? "0.0.0.0";
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(spec.registry.port, address, resolve);
  });
  return {
    address,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  registry: LabSpec["registry"],
): Promise<void> {
  const path = (request.url ?? "/").split("?")[0] ?? "/";
  response.setHeader("Docker-Distribution-Api-Version", "registry/2.0");
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new RegistryError(405, "UNSUPPORTED", "The lab's image mirror is read-only.");
  }
  if (path === "/v2/" || path === "/v2") {
    sendJson(response, 200, {});
    return;
  }
  const manifest = MANIFEST_PATH.exec(path);
  if (manifest !== null) return sendManifest(request, response, registry, manifest[1] ?? "", manifest[2] ?? "");
  const blob = BLOB_PATH.exec(path);
  if (blob !== null) return sendBlob(request, response, registry, blob[1] ?? "", blob[2] ?? "");
  const tags = TAGS_PATH.exec(path);
  if (tags !== null) {
    sendTags(response, registry, tags[1] ?? "");
    return;
  }
  throw new RegistryError(404, "UNSUPPORTED", `The lab's image mirror does not know ${request.method} ${path}.`);
}

function tagsOf(registry: LabSpec["registry"], name: string): string[] {
  const prefix = `${name}:`;
  const references = Object.keys(registry.tags).filter((reference) => reference.startsWith(prefix));
  if (references.length === 0) throw new RegistryError(404, "NAME_UNKNOWN", `The mirror has no repository "${name}".`);
  return references.map((reference) => reference.slice(prefix.length)).sort();
}

function sendTags(response: ServerResponse, registry: LabSpec["registry"], name: string): void {
  sendJson(response, 200, { name, tags: tagsOf(registry, name) });
}

async function sendManifest(
  request: IncomingMessage,
  response: ServerResponse,
  registry: LabSpec["registry"],
  name: string,
  reference: string,
): Promise<void> {
  tagsOf(registry, name);
  const digest = reference.startsWith("sha256:") ? reference : registry.tags[`${name}:${reference}`];
  const content = digest === undefined ? undefined : await readBlob(registry.root, digest);
  if (digest === undefined || content === undefined) {
    const message = `The mirror has no manifest "${name}:${reference}".`;
    throw new RegistryError(404, "MANIFEST_UNKNOWN", message);
  }
  response.writeHead(200, {
    "Content-Type": mediaTypeOf(content),
    "Content-Length": content.length,
    "Docker-Content-Digest": digest,
    ETag: `"${digest}"`,
  });
  response.end(request.method === "HEAD" ? undefined : content);
}

/** Old schema 2 manifests and OCI ones name their own type; an OCI index or manifest may leave it out. */
function mediaTypeOf(content: Buffer): string {
  const document = JSON.parse(content.toString("utf8")) as { mediaType?: unknown; manifests?: unknown };
  if (typeof document.mediaType === "string") return document.mediaType;
  return Array.isArray(document.manifests)
    ? "application/vnd.oci.image.index.v1+json"
    : "application/vnd.oci.image.manifest.v1+json";
}

async function readBlob(root: string, digest: string): Promise<Buffer | undefined> {
  if (!DIGEST.test(digest)) throw new RegistryError(400, "DIGEST_INVALID", `"${digest}" is no sha256 digest.`);
  return readFile(blobFile(root, digest)).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
}

function blobFile(root: string, digest: string): string {
  return join(root, "blobs", "sha256", digest.slice("sha256:".length));
}

async function sendBlob(
  request: IncomingMessage,
  response: ServerResponse,
  registry: LabSpec["registry"],
  name: string,
  digest: string,
): Promise<void> {
  tagsOf(registry, name);
  if (!DIGEST.test(digest)) throw new RegistryError(400, "DIGEST_INVALID", `"${digest}" is no sha256 digest.`);
  const file = blobFile(registry.root, digest);
  const size = await stat(file).then(
    (entry) => entry.size,
    (error: unknown) => {
      if (isMissing(error)) throw new RegistryError(404, "BLOB_UNKNOWN", `The mirror has no blob ${digest}.`);
      throw error;
    },
  );
  const range = parseRange(request.headers.range, size);
  response.writeHead(range === undefined ? 200 : 206, {
    "Content-Type": "application/octet-stream",
    "Content-Length": range === undefined ? size : range.end - range.start + 1,
    "Accept-Ranges": "bytes",
    "Docker-Content-Digest": digest,
    ...(range === undefined ? {} : { "Content-Range": `bytes ${range.start}-${range.end}/${size}` }),
  });
  if (request.method === "HEAD" || size === 0) {
    response.end();
    return;
  }
  await pipeline(createReadStream(file, range), response);
}

/** `bytes=a-b`, `bytes=a-` and `bytes=-n`, one range only; undefined without a range. */
function parseRange(header: string | undefined, size: number): { start: number; end: number } | undefined {
  if (header === undefined) return undefined;
  const match = /^bytes=(\d*)-(\d*)$/.exec(header);
  const [from, to] = [match?.[1] ?? "", match?.[2] ?? ""];
  const start = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (match === null || (from === "" && to === "") || start > end || start >= size) {
    throw new RegistryError(416, "RANGE_INVALID", `Range "${header}" does not fit a blob of ${size} bytes.`);
  }
  return { start, end };
}

function isMissing(error: unknown): boolean {
  return typeof error === "object" && error !== null && "code" in error && error.code === "ENOENT";
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const known = error instanceof RegistryError ? error : new RegistryError(500, "UNKNOWN", String(error));
  sendJson(response, known.status, { errors: [{ code: known.code, message: known.message, detail: null }] });
}
