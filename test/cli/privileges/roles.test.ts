/** The script of `homelab roles`: run by a shell, and compared with what the lab enforces. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { accessOf } from "../../../cli/lab/access-rules";
import { readStackFiles } from "../../../cli/lab/stack-files";
import { type Grant, identitiesOf } from "../../../cli/privileges/grants";
import { rolesScript } from "../../../cli/privileges/roles";
import { type AccessRules } from "../../../lab/privileges/access-control";
import { PRIVILEGES, type Privilege } from "../../../pve/access/privileges";

const REPO_DIR = resolve(__dirname, "../../..");

/** Notes what it is called with; `existing` makes it refuse to add anything, as on a node where the script ran before. */
function pveum(existing: boolean): string {
  return `#!/bin/sh
case "$1 $2 $3" in
  *" add "*) ${existing ? "exit 1" : ":"} ;;
  "user token modify") ${existing ? ":" : "exit 1"} ;;
esac
for word in "$@"; do printf '%s\\t' "$word"; done >>"$PVEUM_LOG"
echo >>"$PVEUM_LOG"
`;
}

async function calls(existing: boolean): Promise<string[][]> {
  const dir = mkdtempSync(join(tmpdir(), "homelab-roles-"));
  try {
    const log = join(dir, "calls");
    writeFileSync(join(dir, "pveum"), pveum(existing));
    chmodSync(join(dir, "pveum"), 0o755);
    const env = { PATH: `${dir}:/usr/bin:/bin`, PVEUM_LOG: log };
    execFileSync("/bin/sh", ["-s"], { input: await rolesScript(REPO_DIR), env });
    const lines = readFileSync(log, "utf8").trimEnd().split("\n");
    return lines.map((line) => line.replace(/\t$/, "").split("\t"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** What a node would have after these calls. */
function rulesAfter(made: readonly string[][]): AccessRules {
  const roles = made
    .filter(([kind]) => kind === "role")
    .map(([, , name = "", , privs = ""]) => [name, privs.split(",")]);
  const acl = made.flatMap(([kind, , path = "", , who = "", , role = "", , propagate]) =>
    kind === "acl" ? [{ path, who, role, propagate: propagate === "1" }] : [],
  );
  return { roles: Object.fromEntries(roles) as Record<string, Privilege[]>, acl, separatedTokens: [] };
}

test.each([false, true])("the script makes what the lab enforces (run before: %s)", async (existing) => {
  const { stacks } = await readStackFiles(REPO_DIR);
  const made = await calls(existing);
  expect(rulesAfter(made)).toEqual(accessOf(stacks));
  expect(made.filter(([kind, what]) => kind === "user" && what !== "token").map(([, , user]) => user)).toEqual([
    "homelab-prod@pve",
    "homelab-drill@pve",
  ]);
  const tokens = made.filter(([kind, what]) => kind === "user" && what === "token").map((call) => call.slice(2));
  expect(tokens).toEqual([
    [existing ? "modify" : "add", "homelab-prod@pve", "iac", "--privsep", "0"],
    [existing ? "modify" : "add", "homelab-drill@pve", "iac", "--privsep", "0"],
  ]);
});

test("an emergency adds what it needs to production's user, and only where there is such a stack", async () => {
  const { stacks, prod } = await readStackFiles(REPO_DIR);
  const added = (restore: { storage?: string }): string[] => {
    const before = new Set(identitiesOf({ prod: prod.config }).flatMap(({ grants }) => grants.map(printed)));
    const emergency = { ...prod.config, kind: "restore" as const, restore };
    const [first, ...others] = identitiesOf({ prod: prod.config, restore: emergency });
    expect(others).toEqual([]);
    return first?.grants.map(printed).filter((grant) => !before.has(grant)) ?? [];
  };
  const needed = [
    "/nodes/pve HomelabRestoreNode Sys.Audit",
    "/storage HomelabRestoreStorages Datastore.Audit",
    "/storage/nas HomelabRestoreStorages Datastore.Audit",
  ];
  expect(added({})).toEqual(needed);
  expect(added({ storage: "spare" })).toEqual([
    ...needed,
    "/storage/spare HomelabProdDisks Datastore.AllocateSpace,Datastore.Audit",
  ]);
  expect(identitiesOf(stacks).map(({ kind }) => kind)).toEqual(["prod", "drill"]);
});

function printed({ path, role, privileges }: Grant): string {
  return `${path} ${role} ${privileges.join(",")}`;
}

test("a drill can change nothing of production's but its archives", async () => {
  const { stacks } = await readStackFiles(REPO_DIR);
  const drill = identitiesOf(stacks).find(({ kind }) => kind === "drill");
  const onProduction = drill?.grants.filter(({ path }) => ["/", "/vms", "/vms/200", "/nodes/pve"].includes(path)) ?? [];
  const privileges = new Set(onProduction.flatMap((grant) => grant.privileges));
  expect([...privileges].sort()).toEqual(["Sys.Audit", "VM.Audit", "VM.Backup"]);
  const known: readonly string[] = PRIVILEGES;
  for (const grant of drill?.grants ?? []) for (const one of grant.privileges) expect(known).toContain(one);
});
