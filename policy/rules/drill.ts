/** A drill is no production. */
import type { StackFacts } from "../facts";
import { at, type PolicyResource, type PolicyValue, shown } from "../resource";
import type { Rule } from "../rule";

/** What a drill is made of: this project's own resources, and the engine's. */
const DRILL_TYPES = /^(homelab:(drill|components):|pulumi:)/;

/** Names of inputs that say which machine, network or name is used, by what production has under it. */
const IDENTITY: Readonly<Record<string, (facts: StackFacts) => PolicyValue>> = {
  vmId: ({ dockerVm }) => dockerVm.vmId,
  vmName: ({ dockerVm }) => dockerVm.name,
  isolatedBridge: ({ dockerVm }) => dockerVm.bridge,
};

export const drillApart: Rule = {
  name: "drill-apart",
  description: "A drill names no VMID, bridge, host name or record of production.",
  level: "mandatory",
  resource: (resource, facts) => {
    if (facts.kind !== "drill") return [];
    if (!DRILL_TYPES.test(resource.type)) {
      return [
        `Unable to accept ${resource.name} (${resource.type}) in the drill: a drill makes nothing but its own VM, and what ` +
          "else it declared would be production's. Declare it in stacks/prod.ts.",
      ];
    }
    return Object.entries(IDENTITY).flatMap(([name, production]) =>
      valuesNamed(resource, name)
        .filter((value) => value === production(facts))
        .map(
          (value) =>
            `Unable to accept ${resource.name} in the drill: its ${name} ${shown(value)} is production's (homelab:dockerVm). ` +
            `Give the drill one of its own under homelab:drill in Pulumi.${facts.stack}.yaml.`,
        ),
    );
  },
};

/** The values under a name, in the resource itself and in the run that its parts share. */
function valuesNamed(resource: PolicyResource, name: string): (PolicyValue | undefined)[] {
  return [at(resource, name), at(resource, "run", name)];
}
