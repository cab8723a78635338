/**
 * The service specification: what is the same about a service in every stack.
 *
 * `prod` makes containers, routes and records from it; `drill` and `restore` derive their checks from it. A service is one
 * file in this folder that default-exports a `ServiceSpec`; onboarding a service is adding that file.
 */

/** A secret from the stack configuration (`pulumi config set --secret <key>`), inserted where `{}` stands. */
export interface SecretValue {
  /** Key in the stack configuration, e.g. `postgresPassword`. The value is secret everywhere. */
  readonly secret: string;
  /** Text around the secret, `{}` marks its place; absent: the bare secret. */
  readonly format?: string;
}

/**
 * One environment variable: plain text (shown in previews) or a secret (never shown). In plain text `{hostName}` stands
 * for the full host name of the service's own route, e.g. `rss.example.net`.
 */
export type EnvironmentValue = string | SecretValue;

/** A port of the Docker VM that the container publishes. Host ports are unique in the catalogue. */
export interface PublishedPort {
  readonly hostPort: number;
  readonly containerPort: number;
  /** Default `tcp`. */
  readonly protocol?: "tcp" | "udp";
}

/**
 * A named Docker volume. Without `nfs` it lives on the VM's disk and therefore in the VM's backup, and is protected in prod if
 * the service's data is essential.
 */
export interface VolumeMount {
  /** Volume name on the Docker host, unique in the catalogue. */
  readonly volume: string;
  /** Absolute path in the container. */
  readonly path: string;
  /** The volume is an export of a NAS. It is in no backup of the VM, and not there in a drill: the service must be cut off. */
  readonly nfs?: NfsExport;
}

/**
 * An NFS export that Docker mounts when it starts the container. The engine answers only when it has tried all mounts at
 * boot, so the mount is soft and gives up after about ten seconds (`soft,timeo=50,retrans=1`) instead of holding the boot up for
 * minutes. Source: nfs(5).
 */
export interface NfsExport {
  /** IP address: to look a name up would hold the boot up too, because a drill's network has no name server. */
  readonly server: string;
  /** Absolute path on the server. */
  readonly export: string;
  /** More options of nfs(5), with commas between them, such as `ro,nfsvers=4.1`. Default: `nfsvers=4`. */
  readonly options?: string;
}

/** How people reach the service through the reverse proxy. Absent: not reachable from outside the Docker network. */
export interface Route {
  /** Host label below the zone: `rss` becomes `rss.<zone>`. Unique in the catalogue. */
  readonly host: string;
  /** Port of the container that the proxy forwards to (HTTP). */
  readonly containerPort: number;
  /** `lan`: record points at the Docker VM; `public`: at the configured public address, proxied by Cloudflare. */
  readonly exposure: "lan" | "public";
}

/** Docker's HEALTHCHECK. Absent only where the image has one of its own or the service cannot be asked. */
export interface HealthCheck {
  /** Command and arguments run in the container without a shell; exit code 0 is healthy. */
  readonly command: readonly string[];
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  /** Failures in a row until `unhealthy`. */
  readonly retries: number;
  /** Failures in the first seconds do not count. */
  readonly startPeriodSeconds: number;
}

/** GET through the restored reverse proxy, with the name and the certificate chain verified. Needs a `route`. */
export interface HttpSmokeTest {
  readonly kind: "http";
  readonly name: string;
  /** Path with a leading slash. */
  readonly path: string;
  readonly expectStatus: number;
  /** Text that the body must contain; absent: the body is not looked at. */
  readonly expectBodyIncludes?: string;
}

/** One SQL statement in the service's own PostgreSQL container whose single value is compared. */
export interface SqlSmokeTest {
  readonly kind: "sql";
  readonly name: string;
  /** Name of the catalogue service that runs PostgreSQL. */
  readonly server: string;
  readonly database: string;
  readonly user: string;
  /**
   * Must return one row with one column; must not write. It should ask for what only a restore brings back, because many
   * services fill an empty database again when they start. For that, `{bootedAt}` stands for the moment at which the checked
   * machine booted, by its own clock (ISO 8601 in UTC): what is older came out of the backup. Where that clock is behind the
   * archive, a statement that does not give what is expected counts as not run.
   */
  readonly query: string;
  /** `atLeast` compares as numbers, `equals` as text. */
  readonly expect: { readonly atLeast: number } | { readonly equals: string };
}

/** A check on restored data or behaviour; the same specification serves drill and emergency. */
export type SmokeTest = HttpSmokeTest | SqlSmokeTest;

/** The recovery canary: a table that gets a row each interval, from which the recovery point is read. */
export interface CanarySpec {
  /** Catalogue service that runs PostgreSQL. */
  readonly server: string;
  readonly database: string;
  readonly user: string;
  /** Table with columns `stamped_at timestamptz` and `boot_id uuid`. */
  readonly table: string;
  readonly intervalSeconds: number;
}

/**
 * What makes a service the reverse proxy (Caddy): it serves the routes of all others. Its `/etc/caddy` is a volume, into
 * which prod loads the Caddyfile while the proxy runs.
 */
export interface ReverseProxyRole {
  /** Absolute path in the container of the public root certificate of Caddy's own authority. Its folder is in a volume. */
  readonly rootCertificatePath: string;
}

/**
 * What losing the service's data would mean. `essential`: prod protects the service's volumes against deletion. It is also a
 * label of the container. The RPO target is not the service's: one for the whole VM stands in the drill's configuration.
 */
export type DataClass = "none" | "rebuildable" | "essential";

/** Everything that is the same about one service in every stack. */
export interface ServiceSpec {
  /** DNS label; container name, network alias and Pulumi logical name. Never changes without an alias. */
  readonly name: string;
  /** One sentence for people. */
  readonly purpose: string;
  /** Image reference with a tag that is a version; never `latest`. */
  readonly image: string;
  /** Replaces the image's entry point. */
  readonly entrypoint?: readonly string[];
  /** Replaces the image's command. */
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, EnvironmentValue>>;
  readonly ports?: readonly PublishedPort[];
  readonly volumes?: readonly VolumeMount[];
  readonly route?: Route;
  readonly healthCheck?: HealthCheck;
  readonly smokeTests?: readonly SmokeTest[];
  readonly canary?: CanarySpec;
  /** Present in the one service that is the reverse proxy; required as soon as any service has a route. */
  readonly reverseProxy?: ReverseProxyRole;
  readonly data: DataClass;
  /**
   * `must-run` (default): a drill fails if the service does not come back. `cut-off`: it can't run in a closed network (tunnel,
   * NAS mount, licence server); a drill checks nothing of it and gives the reason. Nothing that must run may need it.
   */
  readonly inDrill?: "must-run" | "cut-off";
  /** Why it is cut off, one sentence for the evidence. Required with `cut-off`, refused otherwise. */
  readonly inDrillReason?: string;
  /** Names of services whose containers are started first. No cycles. */
  readonly dependsOn?: readonly string[];
}
