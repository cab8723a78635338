/** Where a rehearsal writes its own row: into a Miniflux of the catalogue, whatever it is called there. */
import { hostNameOf } from "../../components/checks-from-catalogue";
import type { ServiceSpec } from "../../services/spec";

/** A Miniflux behind the proxy and its database. No secrets. */
export interface ProofTarget {
  /** `https://<host>.<zone>`. */
  readonly url: string;
  readonly adminUser: string;
  /** Name of the secret with the administrator's password. */
  readonly passwordKey: string;
  /** PostgreSQL's container, database and user. */
  readonly container: string;
  readonly database: string;
  readonly user: string;
}

/** Undefined where no service can be written to: a rehearsal of that catalogue rests on the catalogue's own checks. Pure. */
export function proofTarget(catalogue: readonly ServiceSpec[], zone: string): ProofTarget | undefined {
  for (const spec of catalogue) {
    if (!/(^|\/)miniflux\/miniflux[:@]/.test(spec.image) || spec.inDrill === "cut-off") continue;
    const hostName = hostNameOf(spec, zone);
    const { ADMIN_USERNAME: adminUser, ADMIN_PASSWORD: password } = spec.environment ?? {};
    const sql = spec.smokeTests?.find((test) => test.kind === "sql");
    if (hostName === undefined || sql === undefined) continue;
    if (typeof adminUser !== "string" || typeof password !== "object") continue;
    const { server: container, database, user } = sql;
    return { url: `https://${hostName}`, adminUser, passwordKey: password.secret, container, database, user };
  }
  return undefined;
}
