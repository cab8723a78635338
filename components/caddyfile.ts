/** The reverse proxy's configuration as text. */

/** One site of the proxy. */
export interface ProxyRoute {
  /** Full host name. */
  readonly hostName: string;
  /** Name of the service on the Docker network. */
  readonly service: string;
  /** HTTP port of the service's container. */
  readonly port: number;
}

/**
 * The whole Caddyfile for these routes, sorted by host name so that only real changes show. Pure.
 *
 * Certificates come from Caddy's own authority (`tls internal`), whose key lies in the proxy's data volume.
 * Source: https://caddyserver.com/docs/caddyfile
 */
export function renderCaddyfile(routes: readonly ProxyRoute[]): string {
  const sites = [...routes]
    .sort((a, b) => (a.hostName < b.hostName ? -1 : 1))
    .map(({ hostName, service, port }) => `${hostName} {\n\ttls internal\n\treverse_proxy ${service}:${port}\n}\n`);
  // Installing the root into the container's own trust store would need a tool that the image lacks, for no use.
  return ["# Generated from services/*.ts; edits are overwritten.\n{\n\tskip_install_trust\n}\n", ...sites].join("\n");
}
