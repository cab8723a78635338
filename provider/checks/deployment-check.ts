/**
 * The deployment check: does the restored container run the image and the configuration that the code says? A difference is
 * a finding where a deploy after the archive's time explains it, else a failure: the backup is not of what was deployed.
 */
import type { CheckSpec } from "../contract/checks";
import { shorten } from "../text";
import type { Guest } from "./guest";
import { type Attempt, failed, notYet, type Outcome, tryUntilDone } from "./outcome";

type DeploymentCheck = Extract<CheckSpec, { kind: "deployment" }>;

/** What a restored container was made from. Empty where a label is missing. */
export interface DeployedContainer {
  readonly image: string;
  readonly configuration: string;
  /** Digests `sha256:<hex>` under which its image was pulled. */
  readonly digests: readonly string[];
}

/** One call for all containers and images: each call is a process in a guest that has just booted. */
const SCRIPT = [
  "set -e",
  "containers=$(docker ps --all --quiet --no-trunc)",
  `[ -z "$containers" ] || docker inspect --type container --format ` +
    `'container\t{{.Name}}\t{{.Image}}\t{{index .Config.Labels "homelab.image"}}\t{{index .Config.Labels "homelab.configuration"}}' $containers`,
  "docker image ls --all --no-trunc --digests --format 'image\t{{.ID}}\t{{.Digest}}'",
].join("\n");

/** Reads what the script prints: containers by name. */
export function parseDeployed(text: string): Map<string, DeployedContainer> {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const images = lines.filter(([kind, , digest = ""]) => kind === "image" && digest.startsWith("sha256:"));
  return new Map(
    lines.flatMap(([kind, name = "", id, image = "", configuration = ""]) => {
      if (kind !== "container") return [];
      const digests = images.flatMap(([, imageId, digest = ""]) => (imageId === id ? [digest] : []));
      return [[name.replace(/^\//, ""), { image, configuration, digests }] as const];
    }),
  );
}

/** Why a restored container is not what the code says; nothing where it is. Pure. */
export function differences(check: DeploymentCheck, restored: DeployedContainer): string[] {
  const { image, configuration, digests } = restored;
  if (image === "" || configuration === "") return ["it carries no record of its deploy (labels homelab.*)"];
  const problems: string[] = [];
  if (image !== check.image) problems.push(`its image is ${image}, the code says ${check.image}`);
  else if (check.digest !== undefined && !digests.includes(check.digest)) {
    problems.push(`its image has the digest ${digests.join(", ") || "of no registry"}, locked is ${check.digest}`);
  }
  if (configuration !== check.configuration) problems.push("its configuration is another one than the code's");
  return problems;
}

/** Judges one container. Pure. */
export function judgeDeployment(check: DeploymentCheck, restored: DeployedContainer): Outcome {
  const problems = differences(check, restored);
  if (problems.length === 0) {
    const locked = check.digest === undefined ? "" : " with the locked digest";
    return { status: "passed", detail: `image ${check.image}${locked} and configuration are what the code says` };
  }
  const difference = `container ${check.container}: ${problems.join("; ")}`;
  const archiveTime = new Date(check.archiveTime * 1000).toISOString();
  const { deployed } = check;
  const isOurs = deployed?.image === check.image && deployed.configuration === check.configuration;
  if (isOurs && Date.parse(deployed.at) > check.archiveTime * 1000) {
    const detail = `${difference}. That was deployed at ${deployed.at}, after the archive (${archiveTime})`;
    return { status: "passed", detail, finding: `${detail}. An emergency restore would bring the older one back.` };
  }
  return { status: "failed", detail: `${difference}. ${unexplained(check, isOurs, archiveTime)}` };
}

function unexplained({ deployed }: DeploymentCheck, isOurs: boolean, archiveTime: string): string {
  if (deployed === undefined) return "There is no record of a deploy that would explain it";
  if (!isOurs) return "The code was not deployed as it stands: run pulumi up -s prod, or go back to what was deployed";
  return `It was deployed at ${deployed.at}, before the archive (${archiveTime}): the backup is not of what was deployed`;
}

const known = new Map<string, Promise<Map<string, DeployedContainer>>>();

/** Reads all containers once a run; a failed reading is tried again. */
async function readDeployed(guest: Guest, runId: string): Promise<Map<string, DeployedContainer>> {
  const reading =
    known.get(runId) ??
    guest.run(["sh", "-c", SCRIPT]).then(({ exitCode, stdout, stderr }) => {
      if (exitCode !== 0) throw new DockerSilent(shorten(stderr || `docker ended with ${exitCode}`));
      return parseDeployed(stdout);
    });
  known.set(runId, reading);
  try {
    return await reading;
  } catch (error) {
    known.delete(runId);
    throw error;
  }
}

class DockerSilent extends Error {}

/** Tries until Docker answers; what it answers then is final. */
export async function checkDeployment(guest: Guest, runId: string, check: DeploymentCheck): Promise<Outcome> {
  return tryUntilDone(guest, async (): Promise<Attempt> => {
    try {
      const restored = (await readDeployed(guest, runId)).get(check.container);
      if (restored === undefined) return failed(`container ${check.container} does not exist in the restored VM`);
      return { outcome: judgeDeployment(check, restored) };
    } catch (error) {
      if (error instanceof DockerSilent) return notYet(`Docker does not answer: ${error.message}`);
      throw error;
    }
  });
}
