import type { LabSpec } from "../../lab/spec";
import type { StackConfig } from "../../stacks/config";
import { identitiesOf, type EmergencyStack } from "../privileges/grants";

/** What the lab's Proxmox lets the stacks' users do: what the operator's own does after the script of `homelab roles`. Pure. */
export function accessOf(
  stacks: Readonly<Record<string, StackConfig | EmergencyStack>>,
): NonNullable<LabSpec["access"]> {
  const identities = identitiesOf(stacks);
  const pools = identities.flatMap((identity) => identity.pools);
  const grants = identities.flatMap(({ user, grants }) => grants.map((grant) => ({ user, ...grant })));
  return {
    roles: Object.fromEntries(grants.map(({ role, privileges }) => [role, [...privileges]])),
    acl: grants.map(({ path, user, role, propagate }) => ({ path, who: user, role, propagate })),
    separatedTokens: [],
    pools: pools.map(({ name, vmId }) => ({ poolid: name, vms: vmId === undefined ? [] : [vmId] })),
  };
}
