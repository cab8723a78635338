/**
 * Nothing replaces or deletes what holds data. The policies see what the program declares, never what the engine is about to
 * delete. So they demand the protection with which the engine itself refuses both, and that nothing is missing.
 */
import { activeConsents } from "../../stacks/consent";
import type { StackFacts } from "../facts";
import { at, field, items, type PolicyResource } from "../resource";
import type { Rule } from "../rule";
import { BACKUP_JOB, CONTAINER, isMachine, isStorage, VOLUME } from "./types";

/** Pulumi's name of the Docker VM in `stacks/prod.ts`. */
const DOCKER_VM = "docker-vm";

/** Longest time that a consent may still have to run, in days: a lasting permission is none that somebody gave. */
const LONGEST_CONSENT_DAYS = 7;
const DAY_MS = 24 * 3600_000;

export const statefulProtected: Rule = {
  name: "stateful-protected",
  description:
    "Machines, backup jobs, storages and essential volumes of production are protected, unless a consent names them.",
  level: "mandatory",
  resource: (resource, facts) => {
    if (facts.kind !== "prod") return [];
    const isStateful = isMachine(resource) || isStorage(resource) || resource.type === BACKUP_JOB;
    return isStateful ? unprotected(resource, facts) : [];
  },
  stack: (resources, facts) => {
    if (facts.kind !== "prod") return [];
    const essential = new Set(resources.filter(isEssential).flatMap(volumesOf));
    return resources
      .filter((resource) => resource.type === VOLUME && essential.has(at(resource, "name")))
      .flatMap((volume) => unprotected(volume, facts).map((message) => ({ urn: volume.urn, message })));
  },
};

function unprotected(resource: PolicyResource, facts: StackFacts): string[] {
  if (resource.protect || allowed(facts, resource.name)) return [];
  return [
    `Unable to accept ${resource.name}: it holds what must not be lost and is not protected, so an update could replace or ` +
      `delete it. Declare it with protect: true, or list ${consentForm(resource.name)} under homelab:consent in ` +
      `Pulumi.${facts.stack}.yaml.`,
  ];
}

function isEssential(container: PolicyResource): boolean {
  if (container.type !== CONTAINER) return false;
  return items(at(container, "labels")).some(
    (label) => field(label, "label") === "homelab.data" && field(label, "value") === "essential",
  );
}

function volumesOf(container: PolicyResource): unknown[] {
  return items(at(container, "volumes")).map((volume) => field(volume, "volumeName"));
}

export const dockerVmWhole: Rule = {
  name: "docker-vm-whole",
  description:
    "Production declares the Docker VM with every disk that the configuration names, unless a consent names it.",
  level: "mandatory",
  stack: (resources, facts) => {
    if (facts.kind !== "prod") return [];
    const { vmId, dataDisks } = facts.dockerVm;
    const vm = resources.find((resource) => isMachine(resource) && at(resource, "vmId") === vmId);
    if (vm === undefined) {
      const consents = activeConsents(facts.consents, facts.now, "delete");
      if (consents.some(({ resource }) => resource === DOCKER_VM)) return [];
      const message =
        `Unable to accept stack ${facts.stack}: it does not declare VM ${vmId}, so the update would delete it. ` +
        "Declare it, or list a consent with action: delete under homelab:consent.";
      return [{ message }];
    }
    const declared = items(at(vm, "disks")).length;
    const wanted = 1 + dataDisks.length;
    if (declared >= wanted || allowed(facts, vm.name)) return [];
    const message =
      `Unable to accept VM ${vmId}: it declares ${declared} of the ${wanted} disks of homelab:dockerVm, and the update would ` +
      `detach the rest, which no backup would hold then. Declare every disk, or list ${consentForm(vm.name)} under homelab:consent in Pulumi.${facts.stack}.yaml.`;
    return [{ urn: vm.urn, message }];
  },
};

export const consentExpires: Rule = {
  name: "consent-expires",
  description: `A consent ends within ${LONGEST_CONSENT_DAYS} days.`,
  level: "mandatory",
  stack: (_resources, { consents, now, stack }) =>
    consents
      .filter(({ until }) => Date.parse(until) > now.getTime() + LONGEST_CONSENT_DAYS * DAY_MS)
      .map(({ action, resource, until }) => ({
        message:
          `Unable to accept the consent to ${action} ${resource}: it runs until ${until}, longer than ` +
          `${LONGEST_CONSENT_DAYS} days. Set an earlier until under homelab:consent in Pulumi.${stack}.yaml.`,
      })),
};

function allowed({ consents, now }: StackFacts, resource: string): boolean {
  return activeConsents(consents, now, "replace", "delete").some((consent) => consent.resource === resource);
}

function consentForm(resource: string): string {
  return `{action: replace, resource: ${resource}, until: …, reason: …}`;
}
