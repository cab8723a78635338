/** What a drill says about code that is newer than the backup. Pure. */
import type { CheckSpec } from "../provider/contract/checks";
import type { ServiceSpec } from "../services/spec";
import { configurationDigest } from "./deployed-service";

type DeploymentCheck = Extract<CheckSpec, { kind: "deployment" }>;

/** How the code stands for one service, and what prod recorded of it. */
export interface DeployedCode {
  /** Image reference, with its digest where it is locked. */
  readonly image: string;
  /** `sha256:<hex>`; absent: not locked. */
  readonly digest?: string;
  /** Absent: nothing recorded. Times are ISO 8601 UTC, null where they are not known. */
  readonly recorded?: {
    readonly image: string;
    readonly configuration: string;
    readonly deployedAt: string | null;
    readonly firstDeployedAt: string | null;
  };
}

/** Compares the restored container with the code. */
export function deploymentCheck(
  spec: ServiceSpec,
  hostName: string | undefined,
  { image, digest, recorded }: DeployedCode,
  archiveTime: number,
): CheckSpec {
  return {
    kind: "deployment",
    name: "image and configuration are what was deployed",
    container: spec.name,
    image,
    ...(digest === undefined ? {} : { digest }),
    configuration: configurationDigest(spec, hostName),
    archiveTime,
    ...(recorded === undefined ? {} : { deployed: deployedOf(recorded) }),
  };
}

/** Pulumi drops nulls on the way to the provider. */
function deployedOf({
  image,
  configuration,
  deployedAt,
}: NonNullable<DeployedCode["recorded"]>): DeploymentCheck["deployed"] {
  return { image, configuration, ...(deployedAt === null ? {} : { at: deployedAt }) };
}

/** Why a service can't be in an archive: it was deployed for the first time after it. Undefined where it must be there. */
export function newerThanArchive(code: DeployedCode | undefined, archiveTime: number): string | undefined {
  const first = code?.recorded?.firstDeployedAt;
  if (first === undefined || first === null || Date.parse(first) <= archiveTime * 1000) return undefined;
  const archive = new Date(archiveTime * 1000).toISOString();
  return `first deployed at ${first}, after the archive (${archive}): this backup does not hold it`;
}
