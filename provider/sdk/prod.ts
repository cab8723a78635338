/** Typed resource classes of the module `homelab:prod`: what production needs and no public provider has. */
import * as pulumi from "@pulumi/pulumi";
import {
  type DeployedContainer,
  deployedContainersSchema,
  type LookupContainersArgs,
  type ProxyConfigInputs,
  type ReadinessInputs,
  type RecordedRootInputs,
} from "../contract/production";
import { LOOKUP_CONTAINERS, PROD_TOKENS } from "../tokens";
import { type InputsOf, withComputed } from "./resource";

/** Asks the Docker VM for prod's containers. Rejects where it can't be reached. */
export async function lookupContainers(args: LookupContainersArgs): Promise<DeployedContainer[]> {
  return deployedContainersSchema.parse(await pulumi.runtime.invoke(LOOKUP_CONTAINERS, { ...args })).containers;
}

/**
 * The Docker VM is usable: SSH answers with the host key that the guest agent reported, cloud-init is done, the engine
 * answers. Installs what the image lacks and writes the known-hosts file that the Docker provider's ssh reads.
 */
export class Readiness extends pulumi.CustomResource {
  /** Lines `<type> <base64>`; public. */
  declare readonly hostKeys: pulumi.Output<string[]>;
  /** Docker server version. */
  declare readonly engineVersion: pulumi.Output<string>;

  constructor(name: string, args: InputsOf<ReadinessInputs>, opts?: pulumi.CustomResourceOptions) {
    super(PROD_TOKENS.readiness, name, withComputed(args, ["hostKeys", "engineVersion"]), opts);
  }
}

/** The running proxy's Caddyfile, validated by Caddy and loaded without replacing the container. */
export class ProxyConfig extends pulumi.CustomResource {
  constructor(name: string, args: InputsOf<ProxyConfigInputs>, opts?: pulumi.CustomResourceOptions) {
    super(PROD_TOKENS.proxyConfig, name, withComputed(args, []), opts);
  }
}

/** The proxy's public root certificate in a file of the repository, against which drills verify the restored proxy. */
export class RecordedRoot extends pulumi.CustomResource {
  /** SHA-256 fingerprint, hex. */
  declare readonly fingerprint: pulumi.Output<string>;

  constructor(name: string, args: InputsOf<RecordedRootInputs>, opts?: pulumi.CustomResourceOptions) {
    super(PROD_TOKENS.recordedRoot, name, withComputed(args, ["fingerprint"]), opts);
  }
}
