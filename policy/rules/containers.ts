/** What runs in containers, and with which power. */
import { at, field, items, type PolicyResource, type PolicyValue, shown, UNKNOWN } from "../resource";
import type { Rule } from "../rule";
import { CLOUD_IMAGE, CONTAINER, DOCKER_IMAGE } from "./types";

/** Tags that name whatever is newest. */
const MOVING_TAGS = new Set(["latest", "stable", "edge", "nightly", "main", "master", "dev", "rolling"]);

export const imagesPinned: Rule = {
  name: "images-pinned",
  description:
    "Container images name a version or a digest, so that a restored service and a rebuilt one are the same.",
  level: "mandatory",
  resource: (resource) => {
    const key = { [CONTAINER]: "image", [DOCKER_IMAGE]: "name" }[resource.type];
    if (key === undefined) return [];
    const image = at(resource, key);
    // A container's image is the id of the image resource, which is judged by itself.
    if (image === UNKNOWN && resource.type === CONTAINER) return [];
    const cause = typeof image === "string" ? unpinned(image) : `its image is ${shown(image)}`;
    if (cause === undefined) return [];
    return [
      `Unable to accept ${resource.name}: ${cause}. ` +
        "Name a version in the service's file, such as postgres:15.8, then run: npm run homelab -- lock",
    ];
  },
};

function unpinned(image: string): string | undefined {
  if (/(^|@)sha256:[0-9a-f]{64}$/.test(image)) return undefined;
  const tag = /:([^/:@]+)$/.exec(image)?.[1];
  if (tag === undefined) return `image ${image} names no version`;
  return MOVING_TAGS.has(tag) ? `image ${image} names no version, its tag ${tag} moves` : undefined;
}

export const downloadsPinned: Rule = {
  name: "downloads-pinned",
  description: "An image that Proxmox downloads is verified by its checksum.",
  level: "advisory",
  resource: (resource) => {
    if (resource.type !== CLOUD_IMAGE || typeof at(resource, "checksum") === "string") return [];
    return [
      `${resource.name}: ${shown(at(resource, "url"))} is used unverified and may be another image tomorrow. ` +
        "Set homelab:cloudImage's url to a dated image and checksum to its sha256:… or sha512:….",
    ];
  },
};

/** Folders of the machine from which the Docker socket, or the whole machine, can be reached. */
const POWERFUL_PATHS =
  /^\/(?:$|(?:var\/)?run(?:\/docker(?:\.sock)?)?\/?$|var\/?$|etc\/?$|dev\/?$|proc\/?$|sys\/?$|var\/lib\/docker)/;

/** Capabilities with which a container is not contained. Source: capabilities(7). */
const POWERFUL_CAPABILITIES = new Set(["ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO"]);

export const containersContained: Rule = {
  name: "containers-contained",
  description: "No container is privileged or reaches the Docker socket, unless it is listed with a reason.",
  level: "mandatory",
  resource: (resource, { privileged, stack }) => {
    if (resource.type !== CONTAINER) return [];
    const name = at(resource, "name");
    if (privileged.some(({ container }) => container === name)) return [];
    return powersOf(resource).map(
      (power) =>
        `Unable to accept container ${shown(name)}: ${power}, which makes it as powerful as the machine's root. ` +
        `Remove that, or list {container: ${typeof name === "string" ? name : "…"}, reason: …} under homelab:privilegedContainers in Pulumi.${stack}.yaml.`,
    );
  },
};

function powersOf(container: PolicyResource): string[] {
  const powers: string[] = [];
  if (at(container, "privileged") === true) powers.push("it is privileged");
  for (const source of hostPaths(container)) {
    if (source === UNKNOWN) powers.push("it mounts a path of the machine that is known only after the update");
    else if (typeof source === "string" && POWERFUL_PATHS.test(source))
      powers.push(`it mounts ${source} of the machine`);
  }
  for (const capability of items(at(container, "capabilities", "adds"))) {
    if (typeof capability !== "string") continue;
    const plain = capability.replace(/^CAP_/, "");
    if (POWERFUL_CAPABILITIES.has(plain)) powers.push(`it has the capability ${plain}`);
  }
  return powers;
}

function hostPaths(container: PolicyResource): (PolicyValue | undefined)[] {
  const binds = items(at(container, "mounts")).filter((mount) => field(mount, "type") === "bind");
  return [
    ...items(at(container, "volumes")).map((volume) => field(volume, "hostPath")),
    ...binds.map((mount) => field(mount, "source")),
  ];
}
