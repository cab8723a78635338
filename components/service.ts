import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import type { EnvironmentValue, HealthCheck, NfsExport, ServiceSpec } from "../services/spec";
import { CONFIGURATION_LABEL, configurationDigest, IMAGE_LABEL } from "./deployed-service";

export interface ServiceArgs {
  /** What the catalogue says about the service. */
  spec: ServiceSpec;
  /** Image reference, with its digest where it is locked. */
  image: string;
  /** Full host name of the service's route; absent where it has none. */
  hostName?: string;
  /** Docker network in which services find each other by name. */
  networkName: pulumi.Input<string>;
  /** Whether ports are published on the machine's IPv6 addresses too. */
  ipv6: boolean;
  /** Values of the secrets that `spec.environment` names. Secret. */
  secrets: Readonly<Record<string, pulumi.Output<string>>>;
  /** How long a new container may take to become healthy. */
  healthyTimeoutSeconds: pulumi.Input<number>;
  /**
   * What must be done before anything of the service is made, and goes after it: the engine's readiness, services that it
   * depends on. Pulumi does not hand a component's own `dependsOn` down to the dependencies that its children record.
   */
  after: readonly pulumi.Resource[];
}

const TOKEN = "homelab:components:Service";

/** Time between the stop signal and the kill when a container is replaced, so that databases close their files. */
const STOP_GRACE_SECONDS = 60;

/**
 * One service of the catalogue: image, volumes, container. A replaced container goes before the new one comes, because
 * names, ports and volumes are taken once. Volumes with essential data are protected.
 */
export class Service extends pulumi.ComponentResource {
  /** Docker's id of the container; another container has another. */
  readonly containerId: pulumi.Output<string>;
  readonly container: docker.Container;

  constructor(name: string, args: ServiceArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const { spec } = args;
    const after = [...args.after];
    const image = new docker.RemoteImage(
      `${name}-image`,
      // Other containers may run from it, and a rollback must not have to wait for a download.
      { name: args.image, keepLocally: true },
      { parent: this, dependsOn: after },
    );
    const volumes = (spec.volumes ?? []).map(({ volume, nfs }) => {
      const protect = spec.data === "essential";
      const mount = nfs === undefined ? {} : { driver: "local", driverOpts: nfsOptions(nfs) };
      return new docker.Volume(volume, { name: volume, ...mount }, { parent: this, dependsOn: after, protect });
    });
    this.container = new docker.Container(name, containerArgs(args, image), {
      parent: this,
      dependsOn: [...after, ...volumes],
      deleteBeforeReplace: true,
      // Their order is the engine's: see portsLabel.
      ...(args.ipv6 ? { ignoreChanges: ["ports"] } : {}),
      ...(hasSecrets(spec) ? { additionalSecretOutputs: ["envs"] } : {}),
    });
    this.containerId = this.container.id;
    this.registerOutputs({ containerId: this.containerId });
  }
}

/** Options of Docker's local volume driver. Source: https://docs.docker.com/engine/storage/volumes (NFS), nfs(5). */
export function nfsOptions({ server, export: path, options = "nfsvers=4" }: NfsExport): Record<string, string> {
  // Before the operator's own, so that those win: without them a NAS that is away would hold the engine's start up.
  const o = `addr=${server},soft,timeo=50,retrans=1,${options}`;
  return { type: "nfs", o, device: `:${path}` };
}

function containerArgs(args: ServiceArgs, image: docker.RemoteImage): docker.ContainerArgs {
  const { spec } = args;
  return {
    name: spec.name,
    image: image.imageId,
    entrypoints: spec.entrypoint && [...spec.entrypoint],
    command: spec.command && [...spec.command],
    envs: environment(args),
    ports: portsOf(spec, args.ipv6),
    volumes: (spec.volumes ?? []).map(({ volume, path }) => ({ volumeName: volume, containerPath: path })),
    networksAdvanced: [{ name: args.networkName, aliases: [spec.name] }],
    labels: labels(args),
    restart: "unless-stopped",
    destroyGraceSeconds: STOP_GRACE_SECONDS,
    ...(spec.healthCheck
      ? { healthcheck: healthCheck(spec.healthCheck), wait: true, waitTimeout: args.healthyTimeoutSeconds }
      : {}),
  };
}

/** In the order in which the provider reads them back, because another one would show as a change. */
function portsOf({ ports = [] }: ServiceSpec, ipv6: boolean): docker.types.input.ContainerPort[] {
  return [...ports]
    .sort((a, b) => a.containerPort - b.containerPort || (a.protocol ?? "tcp").localeCompare(b.protocol ?? "tcp"))
    .flatMap(({ hostPort, containerPort, protocol = "tcp" }) => {
      const port = { external: hostPort, internal: containerPort, protocol };
      // Docker would publish on both by itself, but the provider always names an address, 0.0.0.0 where there is none.
      return ipv6 ? [port, { ...port, ip: "::" }] : [port];
    });
}

/**
 * With IPv6 each port has two addresses, and their order is the engine's: it differs by version and protocol, and the provider
 * takes another order for another container. So the ports are not compared, and this label is in their place: a changed label
 * is another container, and a container that is made gets the ports of the code. Without IPv6 there is none.
 * Source: https://github.com/kreuzwerker/terraform-provider-docker/issues/909.
 */
function portsLabel({ spec: { ports = [] }, ipv6 }: ServiceArgs): (readonly [string, string])[] {
  if (!ipv6 || ports.length === 0) return [];
  const published = ports.map(
    ({ hostPort, containerPort, protocol = "tcp" }) => `${hostPort}->${containerPort}/${protocol}`,
  );
  return [["homelab.ports", published.sort().join(", ")]];
}

/**
 * As soon as one variable is secret, Pulumi hides all of `envs`, in every diff. The plain ones of such a service stand
 * in labels too, so that a review can see what changes.
 */
function labels(args: ServiceArgs): docker.types.input.ContainerLabel[] {
  const { spec, image, hostName } = args;
  const plain = Object.entries(spec.environment ?? {}).flatMap(([key, value]) =>
    typeof value === "string" ? [[`homelab.env.${key}`, plainText(value, hostName)] as const] : [],
  );
  return [
    ["homelab.data", spec.data] as const,
    ...portsLabel(args),
    ...(hasSecrets(spec) ? plain : []),
    [IMAGE_LABEL, image] as const,
    [CONFIGURATION_LABEL, configurationDigest(spec, hostName)] as const,
    ["homelab.service", spec.name] as const,
  ]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => ({ label, value }));
}

/** `KEY=value` sorted by key; secrets stay secret. */
function environment({ spec, hostName, secrets }: ServiceArgs): pulumi.Input<string>[] {
  return Object.entries(spec.environment ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => environmentLine(key, value, hostName, secrets));
}

function environmentLine(
  key: string,
  value: EnvironmentValue,
  hostName: string | undefined,
  secrets: ServiceArgs["secrets"],
): pulumi.Input<string> {
  if (typeof value === "string") return `${key}=${plainText(value, hostName)}`;
  const secret = secrets[value.secret];
  if (!secret) {
    throw new pulumi.RunError(
      `Unable to set ${key}: the secret ${value.secret} is not in the configuration. ` +
        `Run: pulumi config set --secret ${value.secret} <value>`,
    );
  }
  const format = value.format ?? "{}";
  return pulumi.secret(secret).apply((text) => `${key}=${format.replaceAll("{}", () => text)}`);
}

function plainText(value: string, hostName: string | undefined): string {
  return hostName === undefined ? value : value.replaceAll("{hostName}", hostName);
}

function hasSecrets({ environment: values = {} }: ServiceSpec): boolean {
  return Object.values(values).some((value) => typeof value !== "string");
}

function healthCheck(check: HealthCheck): docker.types.input.ContainerHealthcheck {
  return {
    tests: ["CMD", ...check.command],
    interval: goDuration(check.intervalSeconds),
    timeout: goDuration(check.timeoutSeconds),
    startPeriod: goDuration(check.startPeriodSeconds),
    retries: check.retries,
  };
}

/**
 * Seconds as Go prints a duration: `1m30s`. The provider compares what it reads back as text, so `90s` would show as a
 * change for ever. Source: https://pkg.go.dev/time#Duration.String
 */
export function goDuration(seconds: number): string {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return `${hours ? `${hours}h` : ""}${hours || minutes ? `${minutes}m` : ""}${rest}s`;
}
