import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";
import type { RunningServer } from "../../../lab/cloudflare/server";
import { startRegistry } from "../../../lab/registry/server";
import { labSpec } from "../../support/lab-spec";

let root: string;
let server: RunningServer;
let layer: string;
let manifest: string;

function putBlob(content: string): string {
  const hex = createHash("sha256").update(content).digest("hex");
  writeFileSync(join(root, "blobs/sha256", hex), content);
  return `sha256:${hex}`;
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "registry-"));
  mkdirSync(join(root, "blobs/sha256"), { recursive: true });
  layer = putBlob("0123456789");
  manifest = putBlob(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: layer, size: 10 },
      layers: [],
    }),
  );
  const registry = { root, port: 0, tags: { "library/postgres:15": manifest, "miniflux/miniflux:2": manifest } };
  server = await startRegistry({ spec: labSpec({ registry }), address: "127.0.0.1" });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

async function get(path: string, options: { method?: "GET" | "HEAD" | "POST"; range?: string } = {}) {
  const response = await request(`http://127.0.0.1:${server.port}${path}`, {
    method: options.method ?? "GET",
    headers: options.range === undefined ? {} : { range: options.range },
  });
  return { status: response.statusCode, headers: response.headers, text: await response.body.text() };
}

function codeOf(text: string): unknown {
  return (JSON.parse(text) as { errors: { code: string }[] }).errors[0]?.code;
}

test("a manifest comes by tag and by digest, with its type and the mirror's query", async () => {
  for (const reference of ["15?ns=docker.io", manifest]) {
    const answer = await get(`/v2/library/postgres/manifests/${reference}`);
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toBe("application/vnd.oci.image.manifest.v1+json");
    expect(answer.headers["docker-content-digest"]).toBe(manifest);
    expect(`sha256:${createHash("sha256").update(answer.text).digest("hex")}`).toBe(manifest);
  }
  const head = await get("/v2/miniflux/miniflux/manifests/2", { method: "HEAD" });
  expect([head.status, head.text, Number(head.headers["content-length"]) > 100]).toEqual([200, "", true]);
});

test("a blob comes whole, in part, and as a head", async () => {
  const blob = `/v2/library/postgres/blobs/${layer}`;
  expect(await get(blob)).toMatchObject({ status: 200, text: "0123456789" });
  expect(await get(blob, { range: "bytes=2-4" })).toMatchObject({ status: 206, text: "234" });
  expect((await get(blob, { range: "bytes=7-" })).headers["content-range"]).toBe("bytes 7-9/10");
  expect(await get(blob, { range: "bytes=-2" })).toMatchObject({ status: 206, text: "89" });
  expect(await get(blob, { range: "bytes=10-" })).toMatchObject({ status: 416 });
  expect(await get(blob, { method: "HEAD" })).toMatchObject({ status: 200, text: "" });
});

test("what is missing is an error of the registry protocol", async () => {
  const cases = [
    ["/v2/library/nginx/manifests/1", 404, "NAME_UNKNOWN"],
    ["/v2/library/postgres/manifests/16", 404, "MANIFEST_UNKNOWN"],
    [`/v2/library/postgres/blobs/sha256:${"0".repeat(64)}`, 404, "BLOB_UNKNOWN"],
    ["/v2/library/postgres/blobs/sha256:..%2F..%2Fetc", 400, "DIGEST_INVALID"],
    ["/v2/library/postgres/blobs/md5:1", 400, "DIGEST_INVALID"],
    ["/v2/_catalog", 404, "UNSUPPORTED"],
  ] as const;
  for (const [path, status, code] of cases) {
    const answer = await get(path);
    expect([path, answer.status, codeOf(answer.text)]).toEqual([path, status, code]);
  }
  const post = await get("/v2/library/postgres/blobs/uploads/", { method: "POST" });
  expect([post.status, codeOf(post.text)]).toEqual([405, "UNSUPPORTED"]);
});

test("the protocol version and the tags are told", async () => {
  expect((await get("/v2/")).headers["docker-distribution-api-version"]).toBe("registry/2.0");
  expect(JSON.parse((await get("/v2/library/postgres/tags/list")).text)).toEqual({
    name: "library/postgres",
    tags: ["15"],
  });
});
