import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import Cloudflare from "cloudflare";
import { startCloudflare, type RunningServer } from "../../../lab/cloudflare/server";
import { labSpec, selfSigned } from "../../support/lab-spec";

const ZONE = "0123456789abcdef0123456789abcdef";
let dir: string;
let server: RunningServer;
let certificate: { key: string; cert: string };
let dispatcher: Agent;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "cloudflare-"));
  certificate = await selfSigned("127.0.0.1");
  dispatcher = new Agent({ connect: { ca: certificate.cert } });
});
beforeEach(async () => {
  rmSync(join(dir, "cloudflare-records.json"), { force: true });
  writeFileSync(join(dir, "hosts"), "");
  server = await start();
});
afterEach(async () => server[Symbol.asyncDispose]());
afterAll(async () => {
  await dispatcher.close();
  rmSync(dir, { recursive: true });
});

function start(): Promise<RunningServer> {
  const spec = labSpec({ cloudflare: { apiToken: "good-token", zones: [{ id: ZONE, name: "example.net" }], port: 0 } });
  return startCloudflare({ spec, tls: certificate, dir, hostsFile: join(dir, "hosts"), address: "127.0.0.1" });
}

interface Answer {
  status: number;
  body: { success: boolean; result: never; errors: { code: number; message: string }[]; result_info?: unknown };
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  authorization = "Bearer good-token",
): Promise<Answer> {
  const response = await request(`https://127.0.0.1:${server.port}/client/v4${path}`, {
    method: method as "GET",
    dispatcher,
    headers: { ...(authorization === "" ? {} : { authorization }), "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.statusCode, body: (await response.body.json()) as Answer["body"] };
}

const records = `/zones/${ZONE}/dns_records`;
const rss = { type: "A", name: "rss", content: "192.168.20.200", ttl: 1 };

async function codeOf(answer: Promise<Answer>): Promise<[number, number | undefined]> {
  const { status, body } = await answer;
  expect(body.success).toBe(false);
  return [status, body.errors[0]?.code];
}

test("the official SDK goes through a record's whole life", async () => {
  const fetchWithCa = async (url: unknown, init?: RequestInit) => {
    const { fetch } = await import("undici");
    return (await fetch(String(url), { ...init, dispatcher } as never)) as unknown as Response;
  };
  const client = new Cloudflare({
    apiToken: "good-token",
    baseURL: `https://127.0.0.1:${server.port}/client/v4`,
    maxRetries: 0,
    fetch: fetchWithCa,
  });
  const zones = [];
  for await (const zone of client.zones.list({ name: "example.net" })) zones.push(zone.id);
  expect(zones).toEqual([ZONE]);
  const created = await client.dns.records.create({
    zone_id: ZONE,
    type: "A",
    name: "rss",
    content: "10.0.0.1",
    ttl: 1,
  });
  expect(created).toMatchObject({ name: "rss.example.net", proxied: false, ttl: 1 });
  await client.dns.records.edit(created.id, { zone_id: ZONE, type: "A", name: "rss", content: "10.0.0.2", ttl: 60 });
  const names = [];
  for await (const record of client.dns.records.list({ zone_id: ZONE, name: { exact: "rss.example.net" } })) {
    names.push(`${record.name} ${record.content ?? ""} ${record.ttl}`);
  }
  expect(names).toEqual(["rss.example.net 10.0.0.2 60"]);
  await client.dns.records.delete(created.id, { zone_id: ZONE });
  await expect(client.dns.records.get(created.id, { zone_id: ZONE })).rejects.toThrow(/81044/);
});

test("records and the hosts file survive a restart", async () => {
  await call("POST", records, rss);
  await call("POST", records, { type: "CNAME", name: "news", content: "rss.example.net" });
  await call("POST", records, { type: "A", name: "shop", content: "203.0.113.7", proxied: true });
  await server[Symbol.asyncDispose]();
  server = await start();
  const { body } = await call("GET", records);
  expect(body.result).toHaveLength(3);
  const hosts = readFileSync(join(dir, "hosts"), "utf8");
  expect(hosts).toContain("192.168.20.200 rss.example.net\n");
  expect(hosts).toContain("192.168.20.200 news.example.net\n");
  expect(hosts).not.toContain("shop.example.net");
});

test("credentials are refused with Cloudflare's codes", async () => {
  expect(await codeOf(call("GET", "/zones", undefined, ""))).toEqual([400, 9106]);
  expect(await codeOf(call("GET", "/zones", undefined, "Token x"))).toEqual([400, 6003]);
  expect(await codeOf(call("GET", "/zones", undefined, "Bearer wrong"))).toEqual([403, 10000]);
  expect(await codeOf(call("GET", "/user/tokens/verify", undefined, "Bearer wrong"))).toEqual([401, 1000]);
  expect((await call("GET", "/user/tokens/verify")).status).toBe(200);
});

test("conflicts and wrong contents are refused with Cloudflare's codes", async () => {
  await call("POST", records, rss);
  expect(await codeOf(call("POST", records, rss))).toEqual([400, 81058]);
  expect(await codeOf(call("POST", records, { type: "CNAME", name: "rss", content: "x.org" }))).toEqual([400, 81053]);
  await call("POST", records, { type: "CNAME", name: "www", content: "x.org" });
  expect(await codeOf(call("POST", records, { ...rss, name: "www" }))).toEqual([400, 81054]);
  expect(await codeOf(call("POST", records, { ...rss, content: "300.1.1.1" }))).toEqual([400, 9005]);
  expect(await codeOf(call("POST", records, { ...rss, type: "AAAA", name: "v6" }))).toEqual([400, 9006]);
  expect(await codeOf(call("POST", records, { ...rss, name: "a b" }))).toEqual([400, 9000]);
  expect(await codeOf(call("POST", records, { ...rss, name: "t", ttl: 5 }))).toEqual([400, 9021]);
  const text = { type: "TXT", name: "t", content: "x", proxied: true };
  expect(await codeOf(call("POST", records, text))).toEqual([400, 9004]);
  expect(await codeOf(call("POST", records, { ...rss, name: "y", unknown: 1 }))).toEqual([400, 9207]);
});

test("missing things and what the lab does not emulate are told apart", async () => {
  expect(await codeOf(call("GET", `${records}/${"f".repeat(32)}`))).toEqual([404, 81044]);
  expect(await codeOf(call("DELETE", `${records}/${"f".repeat(32)}`))).toEqual([404, 81044]);
  expect(await codeOf(call("GET", "/zones/nonsense/dns_records"))).toEqual([400, 7003]);
  expect(await codeOf(call("GET", `/zones/${"f".repeat(32)}`))).toEqual([403, 9109]);
  expect(await codeOf(call("POST", records, { type: "MX", name: "m", content: "x" }))).toEqual([501, 1]);
  expect(await codeOf(call("GET", `${records}?tag=x`))).toEqual([501, 1]);
  expect(await codeOf(call("GET", `/zones/${ZONE}/pagerules`))).toEqual([501, 1]);
});

test("lists are cut into pages", async () => {
  for (const host of ["a", "b", "c"]) await call("POST", records, { ...rss, name: host });
  const { body } = await call("GET", `${records}?per_page=2&page=2`);
  expect(body.result).toHaveLength(1);
  expect(body.result_info).toEqual({ page: 2, per_page: 2, count: 1, total_count: 3, total_pages: 2 });
});
