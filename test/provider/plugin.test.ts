import * as grpc from "@grpc/grpc-js";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import {
  CheckRequest,
  type CheckResponse,
  GetSchemaRequest,
  type GetSchemaResponse,
} from "@pulumi/pulumi/proto/provider_pb";
import { specialSecretSig, specialSigKey } from "@pulumi/pulumi/runtime";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { pollUntil } from "../../pve/wait";
import { PROD_TOKENS } from "../../provider/tokens";

/** The plugin's program as Pulumi starts it: through a link, from another folder. */
let folder: string;
let plugin: ChildProcessByStdio<null, Readable, null>;
let client: ResourceProviderClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homelab-plugin-"));
  await symlink(resolve(__dirname, "../../provider"), join(folder, "provider"));
  plugin = spawn(join(folder, "provider", "pulumi-resource-homelab"), ["127.0.0.1:1"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [port] = (await once(plugin.stdout, "data")) as [Buffer];
  client = new ResourceProviderClient(`127.0.0.1:${port.toString().trim()}`, grpc.credentials.createInsecure());
}, 60_000);
afterAll(async () => {
  client.close();
  if (plugin.exitCode === null) plugin.kill("SIGKILL");
  await rm(folder, { recursive: true });
});

async function call<Q, R>(
  method: (request: Q, callback: (error: grpc.ServiceError | null, response: R) => void) => void,
  request: Q,
): Promise<R> {
  return new Promise((done, fail) => {
    method.call(client, request, (error, response) => (error === null ? done(response) : fail(error)));
  });
}

test("answers its schema", async () => {
  const response = await call<GetSchemaRequest, GetSchemaResponse>(
    client.getSchema.bind(client),
    new GetSchemaRequest(),
  );
  expect(JSON.parse(response.getSchema())).toMatchObject({ name: "homelab", version: "0.1.0" });
});

test("reads secrets as they come over the wire and gives failures by property", async () => {
  const request = new CheckRequest();
  request.setUrn(`urn:pulumi:prod::homelab::${PROD_TOKENS.proxyConfig}::proxy`);
  request.setOlds(Struct.fromJavaScript({}));
  request.setNews(
    Struct.fromJavaScript({
      caddyfile: { [specialSigKey]: specialSecretSig, value: ":80 {}" },
      ...{ container: "proxy", containerId: "", timeoutSeconds: -1 },
      ssh: { address: "docker", user: "admin", privateKeyFile: "~/.ssh/id", knownHostsFile: "/k" },
    }),
  );
  const response = await call<CheckRequest, CheckResponse>(client.check.bind(client), request);
  expect(
    response
      .getFailuresList()
      .map((failure) => failure.getProperty())
      .sort(),
  ).toEqual(["ssh.address", "timeoutSeconds"]);
});

test("ends when told to", async () => {
  plugin.kill("SIGTERM");
  expect(await once(plugin, "exit")).toEqual([143, null]);
});

test("ends when what started it was killed, and keeps no core busy", async () => {
  const program = join(folder, "provider", "pulumi-resource-homelab");
  const parent = spawn("sh", ["-c", '"$0" 127.0.0.1:1 & echo "pid $!"; wait', program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of parent.stdout) {
    text += String(chunk);
    // The port comes when the plugin is up.
    if (/^\d+$/m.test(text)) break;
  }
  const pid = Number(/pid (\d+)/.exec(text)?.[1]);
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  const ended = await pollUntil({ timeoutMs: 20_000, signal: new AbortController().signal }, async () =>
    isAlive(pid) ? undefined : true,
  );
  expect(ended).toBe(true);
}, 60_000);

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
