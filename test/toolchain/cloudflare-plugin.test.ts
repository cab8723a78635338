/**
 * The Cloudflare plugin under the real engine: the installed CLI and language host run a program against the lab's
 * Cloudflare API. Not proven: that the public API answers like the lab's.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";

import { type RunningServer, startCloudflare } from "../../lab/cloudflare/server";
import { ensureToolchain } from "../../toolchain/ensure";
import { labSpec, selfSigned } from "../support/lab-spec";

const zones = [
  { id: "a".repeat(32), name: "example.net" },
  { id: "b".repeat(32), name: "example.org" },
];
const token = "test-token";
const urn = "urn:pulumi:dev::probe::cloudflare:index/dnsRecord:DnsRecord::rss";

let dir: string;
let server: RunningServer;
let env: NodeJS.ProcessEnv;
let pulumiFile: string;

beforeAll(async () => {
  const toolchain = await ensureToolchain({ log: (line) => process.stderr.write(`${line}\n`), what: ["pulumi"] });
  pulumiFile = path.join(toolchain.binDir, "pulumi");
  dir = await mkdtemp(path.join(tmpdir(), "cloudflare-plugin-"));
  for (const folder of ["state", "home", "project"]) await mkdir(path.join(dir, folder));
  await symlink(path.join(toolchain.pulumiPluginsHome, "plugins"), path.join(dir, "home", "plugins"));
  await symlink(path.join(__dirname, "..", "..", "node_modules"), path.join(dir, "project", "node_modules"));
  // The language host that is built here gives every program the runtime options of this project.
  await symlink(path.join(__dirname, "..", "..", "toolchain"), path.join(dir, "toolchain"));
  const tls = await selfSigned("127.0.0.1");
  await writeFile(path.join(dir, "ca.pem"), tls.cert);
  const spec = labSpec({ cloudflare: { apiToken: token, zones, port: 0 } });
  const hostsFile = path.join(dir, "hosts");
  server = await startCloudflare({ spec, tls, dir, hostsFile, address: "127.0.0.1" });
  env = {
    ...{ PATH: `${toolchain.binDir}${path.delimiter}${process.env["PATH"] ?? ""}`, HOME: dir },
    ...{ PULUMI_HOME: path.join(dir, "home"), PULUMI_BACKEND_URL: `file://${dir}/state` },
    ...{
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "1",
      NODE_EXTRA_CA_CERTS: path.join(dir, "ca.pem"),
    },
    ...{ CLOUDFLARE_API_TOKEN: token, CLOUDFLARE_BASE_URL: `https://127.0.0.1:${server.port}/client/v4` },
  };
  await writeFile(path.join(dir, "project", "package.json"), "{}");
  await writeFile(
    path.join(dir, "project", "Pulumi.yaml"),
    "name: probe\nruntime: { name: nodejs, options: { typescript: false } }\nmain: index.js\n",
  );
  await pulumi("stack", "init", "dev");
}, 1_500_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

async function pulumi(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const options = { cwd: path.join(dir, "project"), env, timeout: 120_000 };
    execFile(pulumiFile, ["--non-interactive", ...args], options, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error ? 1 : 0, output: stdout + stderr }),
    );
  });
}

async function up(change: Record<string, string> = {}, ...args: string[]): Promise<{ code: number; output: string }> {
  const fields = {
    zoneId: `"${zones[0]?.id ?? ""}"`,
    name: '"rss.example.net"',
    type: '"A"',
    content: '"192.168.20.200"',
    ttl: "60",
  };
  const list = Object.entries({ ...fields, ...change }).map(([name, value]) => `${name}: ${value}`);
  const program = `const pulumi = require("@pulumi/pulumi"), cloudflare = require("@pulumi/cloudflare");
    exports.id = new cloudflare.DnsRecord("rss", { ${list.join(", ")} }).id;`;
  await writeFile(path.join(dir, "project", "index.js"), program);
  return pulumi("up", "-s", "dev", "--yes", "--skip-preview", "--diff", ...args);
}

async function records(): Promise<Record<string, unknown>[]> {
  const text = await readFile(path.join(dir, "cloudflare-records.json"), "utf8");
  const stored = JSON.parse(text) as Record<string, unknown>[] | { records: Record<string, unknown>[] };
  return Array.isArray(stored) ? stored : stored.records;
}

async function call(method: string, url: string): Promise<void> {
  const ca = path.join(dir, "ca.pem");
  const args = [
    "-e",
    `fetch(process.argv[1],{method:process.argv[2],headers:{authorization:"Bearer ${token}"}}).then(r=>process.exit(r.ok?0:1))`,
  ];
  await new Promise<void>((resolve, reject) => {
    const target = `https://127.0.0.1:${server.port}/client/v4${url}`;
    execFile(process.execPath, [...args, target, method], { env: { NODE_EXTRA_CA_CERTS: ca } }, (error) =>
      error ? reject(new Error(`Unable to call ${method} ${url} of the lab: ${error.message}`)) : resolve(),
    );
  });
}

describe("a DNS record under the engine", () => {
  jest.setTimeout(240_000);

  it("is created, stays as it is, changes in place, and keeps a secret secret", async () => {
    expect(await up()).toMatchObject({ code: 0 });
    expect(await records()).toMatchObject([{ name: "rss.example.net", content: "192.168.20.200", ttl: 60 }]);
    expect(await up({}, "--expect-no-changes")).toMatchObject({ code: 0 });

    const change = await up({ content: 'pulumi.secret("192.168.20.201")', comment: '"reader"' });
    expect(change).toMatchObject({ code: 0 });
    expect(change.output).toContain("1 updated");
    expect(await records()).toMatchObject([{ content: "192.168.20.201", comment: "reader" }]);
    const exported = await pulumi("stack", "export", "-s", "dev");
    expect(exported.output).toContain(urn);
    expect(exported.output).not.toContain("192.168.20.201");
    expect(await pulumi("preview", "-s", "dev", "--refresh", "--expect-no-changes")).toMatchObject({ code: 0 });
  });

  it("is made again when someone deleted it, and deleting a missing one succeeds", async () => {
    const [before] = await records();
    await call("DELETE", `/zones/${zones[0]?.id ?? ""}/dns_records/${String(before?.["id"])}`);
    const again = await up({}, "--refresh");
    expect(again.output).toContain("1 created");
    const [after] = await records();
    expect(after?.["id"]).not.toBe(before?.["id"]);
    await call("DELETE", `/zones/${zones[0]?.id ?? ""}/dns_records/${String(after?.["id"])}`);
    expect(await pulumi("destroy", "-s", "dev", "--yes", "--skip-preview")).toMatchObject({ code: 0 });
  });

  it("is replaced when its zone changes, and a duplicate says to import", async () => {
    expect(await up()).toMatchObject({ code: 0 });
    const moved = await up({ zoneId: `"${zones[1]?.id ?? ""}"`, name: '"rss.example.org"' });
    expect(moved.output).toContain("1 replaced");
    expect(await records()).toMatchObject([{ name: "rss.example.org" }]);

    const [record] = await records();
    await pulumi("state", "delete", "-s", "dev", "--yes", urn);
    const duplicate = await up({ zoneId: `"${zones[1]?.id ?? ""}"`, name: '"rss.example.org"' });
    expect(duplicate.code).not.toBe(0);
    expect(duplicate.output).toMatch(/Unable to create DNS record rss\.example\.org \(A\).*pulumi import/s);

    const id = `${zones[1]?.id ?? ""}/${String(record?.["id"])}`;
    const type = "cloudflare:index/dnsRecord:DnsRecord";
    const imported = await pulumi(
      "import",
      "-s",
      "dev",
      "--yes",
      "--protect=false",
      "--generate-code=false",
      type,
      "rss",
      id,
    );
    expect(imported).toMatchObject({ code: 0 });
    const same = await up({ zoneId: `"${zones[1]?.id ?? ""}"`, name: '"rss.example.org"' }, "--expect-no-changes");
    expect(same).toMatchObject({ code: 0 });
    expect(await pulumi("destroy", "-s", "dev", "--yes", "--skip-preview")).toMatchObject({ code: 0 });
    expect(await records()).toEqual([]);
  });

  it("is refused with every wrong property named", async () => {
    const refused = await up({ ttl: "5", zoneId: '"nowhere"' });
    expect(refused.code).not.toBe(0);
    expect(refused.output).toMatch(/ttl.*is not 1 \(automatic\)/s);
  });
});
