import * as pulumi from "@pulumi/pulumi";
import type { SshTarget } from "../provider/contract/production";
import { ProxyConfig, RecordedRoot } from "../provider/sdk/prod";
import { renderCaddyfile, type ProxyRoute } from "./caddyfile";
import type { Service } from "./service";

export interface ReverseProxyArgs {
  /** The proxy's own service, already composed. */
  service: Service;
  /** Container name of that service. */
  container: string;
  routes: readonly ProxyRoute[];
  ssh: SshTarget;
  /** Path in the container of the proxy's public root certificate. */
  rootCertificatePath: string;
  /** Absolute path of the file that keeps the certificate in the project. */
  rootCertificateFile: string;
  timeoutSeconds: pulumi.Input<number>;
}

const TOKEN = "homelab:components:ReverseProxy";

/**
 * What the running proxy serves: the Caddyfile, loaded without replacing the container, and the recorded root
 * certificate that drills verify a restored proxy against (docs/adr/003-proxy-config-by-reload.md).
 */
export class ReverseProxy extends pulumi.ComponentResource {
  /** SHA-256 of the root certificate, hex. */
  readonly rootFingerprint: pulumi.Output<string>;

  constructor(name: string, args: ReverseProxyArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const common = {
      ssh: args.ssh,
      container: args.container,
      containerId: args.service.containerId,
      timeoutSeconds: args.timeoutSeconds,
    };
    const config = new ProxyConfig(
      `${name}-config`,
      { ...common, caddyfile: renderCaddyfile(args.routes) },
      { parent: this },
    );
    const root = new RecordedRoot(
      `${name}-root`,
      { ...common, certificatePath: args.rootCertificatePath, file: args.rootCertificateFile },
      // The authority is made when the first site with `tls internal` is loaded.
      { parent: this, dependsOn: [config] },
    );
    this.rootFingerprint = root.fingerprint;
    this.registerOutputs({ rootFingerprint: this.rootFingerprint });
  }
}
