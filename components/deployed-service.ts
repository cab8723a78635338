/** What prod deployed of a service, in a form that a drill can compare a restored container with. Pure. */
import { createHash } from "node:crypto";
import type { ServiceSpec } from "../services/spec";

/** Labels that prod puts on each container and that a backup carries along. */
export const IMAGE_LABEL = "homelab.image";
export const CONFIGURATION_LABEL = "homelab.configuration";

/**
 * Digest of everything that makes a container besides its image: `sha256:<hex>`. Of secrets it holds the name, never the
 * value, because labels are readable by everybody on the Docker host.
 */
export function configurationDigest(spec: ServiceSpec, hostName: string | undefined): string {
  const { entrypoint, command, environment, ports, volumes, healthCheck } = spec;
  const configuration = { entrypoint, command, environment, ports, volumes, healthCheck, hostName };
  return `sha256:${createHash("sha256")
    .update(JSON.stringify(sorted(configuration)))
    .digest("hex")}`;
}

/** Keys in a fixed order, so that the order in a service file does not count. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]));
}
