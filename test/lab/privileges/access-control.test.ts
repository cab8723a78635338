/** Roles on paths, as pve-access-control resolves them. */
import { AccessControl, type AccessRules } from "../../../lab/privileges/access-control";
import { type Pool } from "../../../lab/pools";

const USER = "ops@pve";
const TOKEN = "ops@pve!drill";

function control(rules: Partial<AccessRules>, pools: readonly Pool[] = []): AccessControl {
  const roles = { Look: ["VM.Audit"], Power: ["VM.PowerMgmt", "VM.Audit"], Save: ["VM.Backup"] } as const;
  const all = { roles: { Look: [...roles.Look], Power: [...roles.Power], Save: [...roles.Save] } };
  return new AccessControl({ ...all, acl: [], separatedTokens: [], ...rules }, { list: () => pools });
}

function entry(path: string, role: string, propagate = true, who = USER): AccessRules["acl"][number] {
  return { path, who, role, propagate };
}

function granted(rules: AccessControl, path: string, who = USER): Record<string, boolean> {
  return Object.fromEntries(rules.permissions(who, path));
}

test("root may everything, and nobody else anything by himself", () => {
  const rules = new AccessControl(undefined, { list: () => [] });
  expect(rules.permissions("root@pam!lab", "/vms/200").get("VM.Allocate")).toBe(true);
  expect(granted(rules, "/vms/200")).toEqual({});
  expect(rules.effective(TOKEN)).toEqual({});
});

test("a role reaches the paths below only where it propagates", () => {
  const rules = control({ acl: [entry("/vms", "Look"), entry("/", "Save", false)] });
  expect(granted(rules, "/vms/200")).toEqual({ "VM.Audit": true });
  expect(granted(rules, "/")).toEqual({ "VM.Backup": false });
  expect(granted(rules, "/storage")).toEqual({});
});

test("a deeper entry takes the place of those above, and NoAccess takes everything", () => {
  const rules = control({
    acl: [entry("/vms", "Look"), entry("/vms/200", "Save"), entry("/vms/300", "NoAccess")],
  });
  expect(granted(rules, "/vms/200")).toEqual({ "VM.Backup": true });
  expect(granted(rules, "/vms/300")).toEqual({});
  expect(granted(rules, "/vms/400")).toEqual({ "VM.Audit": true });
  // A path on which nothing is allowed is not listed, as in PVE.
  expect(Object.keys(rules.effective(USER)).sort()).toEqual(["/vms", "/vms/200"]);
});

test("an entry that does not propagate leaves what reaches the paths below it", () => {
  const rules = control({ acl: [entry("/", "Look"), entry("/vms", "Save", false)] });
  expect(granted(rules, "/vms")).toEqual({ "VM.Backup": false });
  expect(granted(rules, "/vms/200")).toEqual({ "VM.Audit": true });
});

test("a token has its user's privileges, a separated one no more than both", () => {
  const acl = [entry("/vms", "Power"), entry("/vms", "Look", true, TOKEN), entry("/vms/200", "Save", true, TOKEN)];
  expect(granted(control({ acl }), "/vms/100", TOKEN)).toEqual({ "VM.Audit": true, "VM.PowerMgmt": true });
  const separated = control({ acl, separatedTokens: [TOKEN] });
  expect(granted(separated, "/vms/100", TOKEN)).toEqual({ "VM.Audit": true });
  // The user has no VM.Backup there, so its token has none.
  expect(granted(separated, "/vms/200", TOKEN)).toEqual({});
});

test("a pool hands its roles to its members, not to paths below, and never past NoAccess", () => {
  const pool: Pool = { poolid: "home", vms: [200, 300], storages: ["nas"] };
  const rules = control({ acl: [entry("/pool/home", "Look"), entry("/vms/300", "NoAccess")] }, [pool]);
  expect(granted(rules, "/vms/200")).toEqual({ "VM.Audit": false });
  expect(granted(rules, "/storage/nas")).toEqual({ "VM.Audit": false });
  expect(granted(rules, "/vms/300")).toEqual({});
  expect(granted(rules, "/vms/400")).toEqual({});
});
