import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import path from "node:path";
import type { SshTarget } from "../provider/contract/production";
import { Readiness } from "../provider/sdk/prod";

export interface DockerEngineArgs {
  node: pulumi.Input<string>;
  vmId: pulumi.Input<number>;
  /** Plain values: with an unknown one every child's diff would be unreadable. */
  ssh: SshTarget;
  /** Debian packages that the guest needs; missing ones are installed. */
  packages: pulumi.Input<string[]>;
  timeoutSeconds: pulumi.Input<number>;
  /** Another value makes readiness be proved again. */
  vmGeneration: pulumi.Input<string>;
}

/** Name of the network that all services share; service names resolve in it. */
const NETWORK = "homelab";

const TOKEN = "homelab:components:DockerEngine";

/**
 * The Docker engine of the VM: readiness, connection and the services' network. Children of other components get the
 * connection by `provider` and their place in time by `dependsOn: engine.ready`, never by an output of readiness, so that
 * a change of readiness does not hide what changes in a container.
 */
export class DockerEngine extends pulumi.ComponentResource {
  readonly provider: docker.Provider;
  /** Done when SSH, cloud-init and the engine answer and the network is there. */
  readonly ready: pulumi.Resource[];
  readonly networkName: string = NETWORK;

  constructor(name: string, args: DockerEngineArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const readiness = new Readiness(
      `${name}-readiness`,
      {
        node: args.node,
        vmId: args.vmId,
        ssh: args.ssh,
        packages: args.packages,
        timeoutSeconds: args.timeoutSeconds,
        vmGeneration: args.vmGeneration,
      },
      { parent: this },
    );
    this.provider = new docker.Provider(
      name,
      { host: `ssh://${args.ssh.user}@${args.ssh.address}`, sshOpts: sshOptions(args.ssh) },
      { parent: this },
    );
    const network = new docker.Network(
      `${name}-network`,
      { name: NETWORK, driver: "bridge" },
      { parent: this, provider: this.provider, dependsOn: [readiness] },
    );
    this.ready = [readiness, network];
    this.registerOutputs({});
  }
}

/**
 * Options of the ssh processes that the Docker provider starts, one for each connection. The key must be the one that
 * readiness wrote down. Connections share one session, which saves a key exchange each.
 */
export function sshOptions({ privateKeyFile, knownHostsFile }: SshTarget): string[] {
  const options = [
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "StrictHostKeyChecking=yes",
    `UserKnownHostsFile=${knownHostsFile}`,
    "ConnectTimeout=30",
    // A VM that was lost while a session stood would hold every refresh until TCP gives up, a quarter of an hour later.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "ControlMaster=auto",
    `ControlPath=${path.posix.dirname(knownHostsFile)}/ssh-%C`,
    "ControlPersist=60",
  ];
  return ["-i", privateKeyFile, ...options.flatMap((option) => ["-o", option])];
}
