/** What the token can see, asked of the lab, which resolves roles as Proxmox does. */
import { type AccessRules } from "../../lab/privileges/access-control";
import { blindSpots, ownPrivileges } from "../../pve/access/permissions";
import { ApiLab } from "../lab/api-lab";

const TOKEN = "ops@pve!drill=22222222-2222-3333-4444-555555555555";
const ROLES: AccessRules["roles"] = { Look: ["VM.Audit"], Save: ["VM.Backup"], Both: ["VM.Audit", "VM.Backup"] };

async function ask(acl: readonly (readonly [string, string, boolean?])[]): Promise<[string[], string[]]> {
  const entries = acl.map(([path, role, propagate = true]) => ({ path, who: "ops@pve", role, propagate }));
  await using api = await ApiLab.start({
    apiTokens: [TOKEN],
    access: { roles: ROLES, acl: entries, separatedTokens: [] },
  });
  const client = api.client(TOKEN);
  const blind = await blindSpots(client, "/vms", (privileges) => privileges.has("VM.Audit"));
  return [blind, [...(await ownPrivileges(client, "/vms/200"))].sort()];
}

test("a privilege from above reaches a path, and everything below it", async () => {
  expect(await ask([["/", "Look"]])).toEqual([[], ["VM.Audit"]]);
  expect(
    await ask([
      ["/vms", "Look"],
      ["/vms/200", "Both"],
    ]),
  ).toEqual([[], ["VM.Audit", "VM.Backup"]]);
});

test("one that does not propagate is held on its path and nowhere below", async () => {
  expect(await ask([["/vms", "Look", false]])).toEqual([["/vms/*"], []]);
  expect(await ask([["/vms/200", "Look", false]])).toEqual([["/vms"], ["VM.Audit"]]);
});

test("an entry below takes what comes from above away", async () => {
  expect(
    await ask([
      ["/vms", "Look"],
      ["/vms/200", "Save"],
    ]),
  ).toEqual([["/vms/200"], ["VM.Backup"]]);
});
