/** The lab's Proxmox API and its Cloudflare, without machines, and the environment in which `pulumi` reaches both. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startCloudflare, type RunningServer } from "../../lab/cloudflare/server";
import { type LabSpec } from "../../lab/spec";
import { ensureServerIdentity } from "../../lab/tls";
import { ApiLab, TOKEN } from "../lab/api-lab";

const ZONE = "0123456789abcdef0123456789abcdef";

export class ReachableApis implements AsyncDisposable {
  private constructor(
    readonly api: ApiLab,
    readonly environment: NodeJS.ProcessEnv,
    /** Requests that Cloudflare has seen, one JSON object a line. */
    readonly dnsRequestLog: string,
    private readonly cloudflare: RunningServer,
  ) {}

  /** @param options As for the lab. */
  static async start(
    overrides: Partial<LabSpec> = {},
    options: { readonly realBackups?: boolean } = {},
  ): Promise<ReachableApis> {
    const api = await ApiLab.start(overrides, options);
    const spec = {
      ...api.lab.spec,
      cloudflare: { apiToken: "good-token", zones: [{ id: ZONE, name: "example.net" }], port: 0 },
    };
    const { dir } = api.lab.spec;
    const { server: tls } = await ensureServerIdentity(dir, [], new Date());
    const hostsFile = join(dir, "hosts");
    const cloudflare = await startCloudflare({ spec, tls, dir, hostsFile, address: "127.0.0.1" });
    const ca = join(dir, "tls", "ca.pem");
    const environment = {
      PROXMOX_VE_ENDPOINT: `${api.endpoint}/`,
      PROXMOX_VE_API_TOKEN: TOKEN,
      CLOUDFLARE_API_TOKEN: "good-token",
      CLOUDFLARE_BASE_URL: `https://127.0.0.1:${cloudflare.port}/client/v4`,
      SSL_CERT_FILE: ca,
      NODE_EXTRA_CA_CERTS: ca,
    };
    return new ReachableApis(api, environment, join(dir, "cloudflare-requests.ndjson"), cloudflare);
  }

  /** How many requests Cloudflare got so far. */
  cloudflareRequests(): number {
    const log = join(this.api.lab.spec.dir, "cloudflare-requests.ndjson");
    return existsSync(log) ? readFileSync(log, "utf8").split("\n").length - 1 : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cloudflare[Symbol.asyncDispose]();
    await this.api[Symbol.asyncDispose]();
  }
}
