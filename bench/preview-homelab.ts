/** A copy of the project with as many services as wanted, its state, and the lab's API without machines. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startCloudflare } from "../lab/cloudflare/server";
import { ensureServerIdentity } from "../lab/tls";
import { Workspace } from "../test/bad-input/workspace";
import { ApiLab, TOKEN } from "../test/lab/api-lab";
import { run } from "../toolchain/process";

const CLOUDFLARE_TOKEN = "bench-token";
/** Of the fixture's stack file. */
const ZONE_ID = "0123456789abcdef0123456789abcdef";
/** Services of the project that stay: database, canary and reverse proxy. */
export const KEPT_SERVICES = 3;

export class PreviewHomelab implements AsyncDisposable {
  private added = 0;

  private constructor(
    private readonly workspace: Workspace,
    private readonly environment: NodeJS.ProcessEnv,
    private readonly parts: readonly AsyncDisposable[],
  ) {}

  /** With `KEPT_SERVICES` services. */
  static async create(): Promise<PreviewHomelab> {
    const parts: AsyncDisposable[] = [];
    try {
      return await PreviewHomelab.assemble(parts);
    } catch (error) {
      await dispose(parts);
      throw error;
    }
  }

  /** Puts what must be ended into `parts` as soon as it is there. */
  private static async assemble(parts: AsyncDisposable[]): Promise<PreviewHomelab> {
    const workspace = await Workspace.create();
    parts.unshift(workspace);
    const api = await ApiLab.start();
    parts.unshift(api);
    const { dir } = api.lab.spec;
    const { server: tls } = await ensureServerIdentity(dir, [], new Date());
    const zones = [{ id: ZONE_ID, name: "example.net" }];
    const spec = { ...api.lab.spec, cloudflare: { apiToken: CLOUDFLARE_TOKEN, zones, port: 0 } };
    const cloudflare = await startCloudflare({ spec, tls, dir, hostsFile: join(dir, "hosts"), address: "127.0.0.1" });
    parts.unshift(cloudflare);
    const ca = join(dir, "tls", "ca.pem");
    const environment = {
      ...workspace.environment,
      PROXMOX_VE_ENDPOINT: `${api.endpoint}/`,
      PROXMOX_VE_API_TOKEN: TOKEN,
      CLOUDFLARE_API_TOKEN: CLOUDFLARE_TOKEN,
      CLOUDFLARE_BASE_URL: `https://127.0.0.1:${cloudflare.port}/client/v4`,
      SSL_CERT_FILE: ca,
      NODE_EXTRA_CA_CERTS: ca,
    };
    const homelab = new PreviewHomelab(workspace, environment, parts);
    await rm(join(workspace.project, "services", "miniflux.ts"));
    await homelab.pulumi(["config", "rm", "minifluxAdminPassword", "-s", "prod"]);
    await homelab.createEmptyProject();
    return homelab;
  }

  /** Adds services until there are so many. There is no way back. */
  async growTo(services: number): Promise<void> {
    for (; KEPT_SERVICES + this.added < services; this.added++) {
      const name = `extra-${this.added + 1}`;
      await writeFile(join(this.workspace.project, "services", `${name}.ts`), serviceFile(name));
    }
  }

  /** Seconds that `pulumi preview -s prod` takes; it creates everything. */
  async preview(): Promise<number> {
    return this.timedPulumi(["preview", "-s", "prod"]);
  }

  /** Seconds that the preview of a program without a resource takes: Pulumi, its language host and the SDK, nothing else. */
  async previewEmpty(): Promise<number> {
    return this.timedPulumi(["preview", "-s", "empty", "-C", this.emptyDir]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await dispose(this.parts);
  }

  private get emptyDir(): string {
    return join(this.workspace.project, "empty");
  }

  private async createEmptyProject(): Promise<void> {
    const options =
      'runtime: { name: nodejs, options: { typescript: false, nodeargs: "-r ../toolchain/typescript.cjs" } }';
    await mkdir(this.emptyDir);
    await writeFile(join(this.emptyDir, "Pulumi.yaml"), `name: empty\n${options}\nmain: index.ts\n`);
    await writeFile(join(this.emptyDir, "package.json"), '{ "name": "empty", "main": "index.ts" }\n');
    await writeFile(
      join(this.emptyDir, "index.ts"),
      'import * as pulumi from "@pulumi/pulumi";\nexport const stack = pulumi.getStack();\n',
    );
    await this.pulumi(["stack", "init", "empty", "-C", this.emptyDir]);
  }

  private async timedPulumi(args: readonly string[]): Promise<number> {
    const start = performance.now();
    await this.pulumi(args);
    return (performance.now() - start) / 1000;
  }

  private async pulumi(args: readonly string[]): Promise<void> {
    const { project: cwd } = this.workspace;
    const env = this.environment;
    await run("pulumi", [...args, "--non-interactive", "--color=never"], { cwd, env, timeoutMs: 300_000 });
  }
}

async function dispose(parts: readonly AsyncDisposable[]): Promise<void> {
  for (const part of parts) await part[Symbol.asyncDispose]();
}

/** An ordinary service: one volume, one route, so a container, a volume and a DNS record. */
function serviceFile(name: string): string {
  return `import type { ServiceSpec } from "./spec";

export default {
  name: "${name}",
  purpose: "Counts in the bench.",
  image: "nginx:1.29",
  environment: { NAME: "${name}" },
  volumes: [{ volume: "${name}-data", path: "/data" }],
  route: { host: "${name}", containerPort: 80, exposure: "lan" },
  data: "essential",
} satisfies ServiceSpec;
`;
}
