/** The invoke `homelab:prod:lookupContainers`: what the containers of this project on the Docker VM are made from. */
import type { DeployedContainer, LookupContainersArgs } from "../contract/production";
import type { ProviderContext } from "../definition";
import { connectToKnownHost } from "../ssh";
import { shorten } from "../text";

/** `homelab.service` is prod's label; other containers on the VM are nobody's business here. */
const SCRIPT = [
  "containers=$(docker ps --all --quiet --no-trunc --filter label=homelab.service) &&",
  `{ [ -z "$containers" ] || docker inspect --type container --format ` +
    `'{{index .Config.Labels "homelab.service"}}\t{{.Id}}\t{{index .Config.Labels "homelab.image"}}\t` +
    `{{index .Config.Labels "homelab.configuration"}}\t{{.Created}}' $containers; }`,
].join(" ");

/** What docker says of one that went after it was listed; it prints the others all the same. */
const GONE = /^error\b.*\bno such (container|object)\b/i;

/** @throws Error with what SSH or Docker said */
export async function lookupContainers(
  { signal }: ProviderContext,
  { ssh, timeoutSeconds }: LookupContainersArgs,
): Promise<DeployedContainer[]> {
  await using connection = await connectToKnownHost(ssh, signal);
  const { exitCode, stdout, stderr } = await connection.run(SCRIPT, { timeoutMs: timeoutSeconds * 1000, signal });
  const complaints = stderr.split("\n").filter((line) => line.trim() !== "");
  if (exitCode !== 0 && !(complaints.length > 0 && complaints.every((line) => GONE.test(line)))) {
    throw new Error(
      `Unable to list the containers on ${ssh.address}: ${shorten(stderr || `docker ended with ${exitCode}`)}. ` +
        "See systemctl status docker on the VM.",
    );
  }
  return parseContainers(stdout);
}

/** Containers whose labels are incomplete were made by an older version and tell nothing. */
function parseContainers(text: string): DeployedContainer[] {
  return text.split("\n").flatMap((line) => {
    const [service = "", containerId = "", image = "", configuration = "", created = ""] = line.split("\t");
    const createdAt = new Date(created);
    if ([service, containerId, image, configuration].includes("") || Number.isNaN(createdAt.getTime())) return [];
    return [{ service, containerId, image, configuration, createdAt: createdAt.toISOString() }];
  });
}
