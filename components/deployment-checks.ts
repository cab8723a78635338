/** What a drill says about code that is newer than the backup. Pure. */
import type { CheckSpec } from "../provider/contract/checks";
import type { ServiceSpec } from "../services/spec";
import { configurationDigest } from "./deployed-service";

/** How the code stands for one service, and what prod recorded of it. */
export interface DeployedCode {
  /** Image reference, with its digest where it is locked. */
  readonly image: string;
  /** `sha256:<hex>`; absent: not locked. */
  readonly digest?: string;
  /** Absent: nothing recorded. Times are ISO 8601 UTC. */
  readonly recorded?: {
    readonly image: string;
    readonly configuration: string;
    readonly createdAt: string;
    readonly firstCreatedAt: string;
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
    ...(recorded === undefined
      ? {}
      : { deployed: { image: recorded.image, configuration: recorded.configuration, at: recorded.createdAt } }),
  };
}

/**
 * Why a service may not be in an archive: the first container of it that is known was made after it. Undefined where it must be
 * there. Only a restored machine without its container proves it.
 */
export function newerThanArchive(code: DeployedCode | undefined, archiveTime: number): string | undefined {
  const first = code?.recorded?.firstCreatedAt;
  if (first === undefined || Date.parse(first) <= archiveTime * 1000) return undefined;
  const archive = new Date(archiveTime * 1000).toISOString();
  return `first deployed at ${first}, after the archive (${archive}): this backup does not hold it`;
}
