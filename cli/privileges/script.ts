import { type Identity, TOKEN_NAME } from "./grants";

/** Works as often as it is run: what is there is brought to what stands here. */
const FUNCTIONS = `\
role() { pveum role add "$1" --privs "$2" 2>/dev/null || pveum role modify "$1" --privs "$2"; }
user() { pveum user add "$1" --comment "$2" 2>/dev/null || pveum user modify "$1" --comment "$2"; }
pool() { pveum pool add "$1" --comment "$2" 2>/dev/null || pveum pool modify "$1"; }
member() {
  said=$(pveum pool modify "$1" --vms "$2" 2>&1) && return
  case $said in
  *"is already a pool member"*) ;;
  *)
    echo "Unable to put VM $2 into pool $1: \${said%.}. A VM is in one pool only: name that pool in $3, or take the VM out of it. Then run this script anew." >&2
    exit 1
    ;;
  esac
}
grant() { pveum acl modify "$1" --users "$2" --roles "$3" --propagate "$4"; }
token() {
  if pveum user token modify "$1" ${TOKEN_NAME} --privsep 0 >/dev/null 2>&1; then
    echo "The token $1!${TOKEN_NAME} exists; its secret is not shown again."
  else
    pveum user token add "$1" ${TOKEN_NAME} --privsep 0
  fi
}`;

/** The commands that make roles, users and tokens, as a shell script for root on a Proxmox node. Nothing in it is secret. */
export function printRolesScript(identities: readonly Identity[]): string {
  const parts = identities.map(({ kind, user, pools, grants }) => {
    const roles = [...new Map(grants.map(({ role, privileges }) => [role, privileges]))];
    return [
      `# ${kind}`,
      `user ${user} 'Stacks of kind ${kind}'`,
      ...pools.flatMap(({ name, comment, key, vmId }) => [
        `pool ${name} "${comment}"`,
        ...(vmId === undefined ? [] : [`member ${name} ${vmId} ${key}`]),
      ]),
      ...roles.map(([role, privileges]) => `role ${role} '${privileges.join(",")}'`),
      ...grants.map(
        ({ path, role, propagate, purpose }) => `grant ${path} ${user} ${role} ${propagate ? 1 : 0} # ${purpose}`,
      ),
      `token ${user}`,
    ].join("\n");
  });
  const head = [
    "#!/bin/sh",
    "# Pools, roles, users and API tokens of the homelab's stacks. Run it as root on a Proxmox VE 9 node, and again when VMIDs,",
    "# pools, storages or bridges change; rights on former ones stay until you take them away (pveum acl delete).",
    "set -eu",
  ];
  return `${head.join("\n")}\n${FUNCTIONS}\n\n${parts.join("\n\n")}\n`;
}
