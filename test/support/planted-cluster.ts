/** A "real" cluster in the environment of whoever starts a rehearsal, which must never reach it. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { z } from "zod";

export const plantedSchema = z.object({
  endpoint: z.string(),
  /** Looks like one, and is accepted nowhere. */
  apiToken: z.string(),
  /** Since the start, that of the control included. */
  connections: z.number().int(),
});
export type Planted = z.infer<typeof plantedSchema>;

export class PlantedCluster implements AsyncDisposable {
  private connections = 0;
  private restore = (): void => undefined;

  private constructor(
    private readonly server: Server,
    /** `plantedSchema` as JSON, rewritten at each connection. */
    readonly file: string,
  ) {
    server.on("connection", (socket) => {
      this.connections += 1;
      this.write();
      socket.destroy();
    });
  }

  /**
   * Listens on loopback, and puts into the environment what an operator's shell has that speaks to the real cluster. One
   * connection, the control, proves that connections are counted.
   */
  static async start(file: string, environment: NodeJS.ProcessEnv): Promise<PlantedCluster> {
    const server = createServer();
    const planted = new PlantedCluster(server, file);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    planted.write();
    const control = connect(planted.port, "127.0.0.1").resume();
    await once(control, "close");
    planted.plant(environment);
    return planted;
  }

  private plant(environment: NodeJS.ProcessEnv): void {
    const { endpoint, apiToken } = this.planted;
    const before = { ...environment };
    const planted = {
      PROXMOX_VE_ENDPOINT: endpoint,
      PROXMOX_VE_API_TOKEN: apiToken,
      PROXMOX_VE_SSH_AGENT: "true",
      CLOUDFLARE_API_TOKEN: "planted-cloudflare-token",
      CLOUDFLARE_BASE_URL: `${endpoint}client/v4`,
      DOCKER_HOST: `tcp://127.0.0.1:${this.port}`,
      HTTPS_PROXY: `http://127.0.0.1:${this.port}`,
      PULUMI_BACKEND_URL: endpoint,
    };
    Object.assign(environment, planted);
    this.restore = () => {
      for (const name of Object.keys(planted)) {
        if (before[name] === undefined) Reflect.deleteProperty(environment, name);
        else environment[name] = before[name];
      }
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.restore();
    const closed = once(this.server, "close");
    this.server.close();
    await closed;
  }

  private get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  private get planted(): Planted {
    return {
      endpoint: `https://127.0.0.1:${this.port}/`,
      apiToken: "homelab@pve!iac=3f2b8c1e-7d64-4a0b-9c55-planted00000",
      connections: this.connections,
    };
  }

  private write(): void {
    writeFileSync(this.file, JSON.stringify(this.planted));
  }
}
