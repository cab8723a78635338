/** Turns what the catalogue says about a service into the checks that a restored machine must pass. */
import type { CheckSpec } from "../provider/contract/checks";
import type { ServiceSpec, SmokeTest } from "../services/spec";
import { type DeployedCode, deploymentCheck } from "./deployment-checks";

/** What checks need besides the catalogue. */
export interface CheckContext {
  readonly zone: string;
  /** Name of the service that serves the routes. */
  readonly reverseProxy?: string;
  /** PEM of the root that prod recorded; absent: HTTP checks cannot verify the chain and are skipped. */
  readonly rootCertificatePem?: string;
  /** Seconds since the epoch: the archive's `ctime`. */
  readonly archiveTime: number;
  /** How the code stands, by service name; a service that is missing here is not compared. */
  readonly code: ReadonlyMap<string, DeployedCode>;
}

/** All checks of one service: its container first, then its smoke tests in their order. Pure. */
export function checksOf(spec: ServiceSpec, context: CheckContext): CheckSpec[] {
  const container: CheckSpec = {
    kind: "container",
    name: spec.healthCheck ? "container is healthy" : "container is running",
    container: spec.name,
    hasHealthCheck: spec.healthCheck !== undefined,
  };
  const code = context.code.get(spec.name);
  const deployment =
    code === undefined ? [] : [deploymentCheck(spec, hostNameOf(spec, context.zone), code, context.archiveTime)];
  return [container, ...deployment, ...(spec.smokeTests ?? []).map((test) => smokeCheck(test, spec, context))];
}

/** Full host name of a service's route; undefined where it has none. */
export function hostNameOf({ route }: ServiceSpec, zone: string): string | undefined {
  return route && `${route.host}.${zone}`;
}

function smokeCheck(
  test: SmokeTest,
  spec: ServiceSpec,
  { zone, reverseProxy, rootCertificatePem, archiveTime }: CheckContext,
): CheckSpec {
  switch (test.kind) {
    case "http":
      return {
        kind: "http",
        name: test.name,
        // The catalogue refuses an HTTP test without a route.
        hostName: hostNameOf(spec, zone) ?? zone,
        containers: [...(reverseProxy === undefined ? [] : [reverseProxy]), spec.name],
        path: test.path,
        expectStatus: test.expectStatus,
        ...(test.expectBodyIncludes === undefined ? {} : { expectBodyIncludes: test.expectBodyIncludes }),
        ...(rootCertificatePem === undefined ? {} : { rootCertificatePem }),
      };
    case "sql":
      return {
        kind: "sql",
        name: test.name,
        container: test.server,
        database: test.database,
        user: test.user,
        query: test.query,
        archiveTime,
        expect: { ...test.expect },
      };
  }
}
