/** The script of `homelab roles`: run by a shell, and compared with what the lab enforces. */
import { spawnSync } from "node:child_process";
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

/** Notes what it is called with, and refuses as on a node where the script ran before, or where VM 200 is in a pool. */
const PVEUM = `#!/bin/sh
note() { for word; do printf '%s\\t' "$word"; done >>"$PVEUM_LOG"; echo >>"$PVEUM_LOG"; }
case "$EXISTING $1 $2 $3" in
"yes "*" add "*) exit 1 ;;
" user token modify") exit 1 ;;
esac
note "$@"
if [ "$1 $2 $4 $5" = "pool modify --vms 200" ] && [ -n "$POOL_OF_200" ]; then
  case $POOL_OF_200 in
  "$3") echo "update pools failed: VM 200 is already a pool member" >&2 ;;
  *) echo "update pools failed: VM 200 belongs already to pool '$POOL_OF_200' and 'allow-move' is not set" >&2 ;;
  esac
  exit 1
fi
`;

interface Node {
  readonly ranBefore?: boolean;
  readonly poolOf200?: string;
}

/** Runs the script on a node like this. */
async function run({ ranBefore = false, poolOf200 = "" }: Node): Promise<{ calls: string[][]; stderr: string }> {
  const dir = mkdtempSync(join(tmpdir(), "homelab-roles-"));
  try {
    const log = join(dir, "calls");
    writeFileSync(join(dir, "pveum"), PVEUM);
    chmodSync(join(dir, "pveum"), 0o755);
    const existing = ranBefore ? "yes" : "";
    const env = { PATH: `${dir}:/usr/bin:/bin`, PVEUM_LOG: log, EXISTING: existing, POOL_OF_200: poolOf200 };
    const { stderr } = spawnSync("/bin/sh", ["-s"], { input: await rolesScript(REPO_DIR), env, encoding: "utf8" });
    const lines = readFileSync(log, "utf8").trimEnd().split("\n");
    return { calls: lines.map((line) => line.replace(/\t$/, "").split("\t")), stderr };
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
  const poolsMade = new Map<string, number[]>();
  for (const [kind, what, name = "", option, vmId] of made) {
    if (kind !== "pool") continue;
    if (what === "add" || !poolsMade.has(name)) poolsMade.set(name, []);
    if (option === "--vms") poolsMade.get(name)?.push(Number(vmId));
  }
  const pools = [...poolsMade].map(([poolid, vms]) => ({ poolid, vms }));
  return { roles: Object.fromEntries(roles) as Record<string, Privilege[]>, acl, separatedTokens: [], pools };
}

test.each([
  ["on a new node", {}],
  ["where it ran before", { ranBefore: true, poolOf200: "homelab-prod" }],
])("the script makes what the lab enforces %s", async (_, node: Node) => {
  const { stacks } = await readStackFiles(REPO_DIR);
  const { calls: made, stderr } = await run(node);
  const existing = node.ranBefore === true;
  expect(stderr).toBe("");
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

test("a VM that is in another pool stays there, and the script says what to do before it grants anything on it", async () => {
  const { calls, stderr } = await run({ poolOf200: "media" });
  expect(stderr).toBe(
    "Unable to put VM 200 into pool homelab-prod: update pools failed: VM 200 belongs already to pool 'media' and 'allow-move' is not set. " +
      "A VM is in one pool only: name that pool in homelab:dockerVm.pool, or take the VM out of it. Then run this script anew.\n",
  );
  expect(calls.filter(([kind]) => kind === "acl")).toEqual([]);
});

test("pools are those of the stack files, each kind's rights on its own", async () => {
  const { prod, stacks } = await readStackFiles(REPO_DIR);
  const named = { ...prod.config, dockerVm: { ...prod.config.dockerVm, pool: "media" } };
  const [first] = identitiesOf({ ...stacks, prod: named });
  expect(first?.pools).toMatchObject([{ name: "media", vmId: 200, key: "homelab:dockerVm.pool" }]);
  expect(first?.grants.map(({ path }) => path)).toContain("/pool/media");
  const onPools = identitiesOf(stacks).map(({ grants }) =>
    grants.map(({ path }) => path).filter((path) => path.startsWith("/pool")),
  );
  expect(onPools).toEqual([["/pool/homelab-prod"], ["/pool/homelab-drill"]]);
});

test("an emergency adds what it needs to production's user, and only where there is such a stack", async () => {
  const { stacks, prod } = await readStackFiles(REPO_DIR);
  const added = (restore: { storage?: string }): string[] => {
    const before = new Set(identitiesOf({ prod: prod.config }).flatMap(({ grants }) => grants.map(printed)));
    const emergency = { ...prod.config, kind: "restore" as const, restore };
    const [first, ...others] = identitiesOf({ prod: prod.config, restore: emergency });
    expect(others).toEqual([]);
    const news = first?.grants.filter((grant) => !before.has(printed(grant))) ?? [];
    return news.filter(({ role }) => role !== "HomelabProdPool").map(printed);
  };
  // The right to make backups, and to read them, then has to outlive the VM, so the pool need not give it too.
  const onPool = (given: Parameters<typeof identitiesOf>[0]): readonly string[] =>
    identitiesOf(given)[0]?.grants.find(({ role }) => role === "HomelabProdPool")?.privileges ?? [];
  expect(onPool({ prod: prod.config })).toContain("VM.Backup");
  expect(onPool(stacks)).not.toContain("VM.Backup");
  const needed = [
    "/vms HomelabRestoreArchives VM.Backup",
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
