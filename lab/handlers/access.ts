/** `/access`: the lab's tokens have every privilege everywhere. */
import { handler } from "../router";
import { notEmulated } from "../errors";
import { optional, string } from "../params";

/** Privileges of PVE 9 (pve-access-control `PVE::AccessControl`). */
const PRIVILEGES = [
  "Datastore.Allocate",
  "Datastore.AllocateSpace",
  "Datastore.AllocateTemplate",
  "Datastore.Audit",
  "Group.Allocate",
  "Mapping.Audit",
  "Mapping.Modify",
  "Mapping.Use",
  "Permissions.Modify",
  "Pool.Allocate",
  "Pool.Audit",
  "Realm.Allocate",
  "Realm.AllocateUser",
  "SDN.Allocate",
  "SDN.Audit",
  "SDN.Use",
  "Sys.AccessNetwork",
  "Sys.Audit",
  "Sys.Console",
  "Sys.Incoming",
  "Sys.Modify",
  "Sys.PowerMgmt",
  "Sys.Syslog",
  "User.Modify",
  "VM.Allocate",
  "VM.Audit",
  "VM.Backup",
  "VM.Clone",
  "VM.Config.CDROM",
  "VM.Config.CPU",
  "VM.Config.Cloudinit",
  "VM.Config.Disk",
  "VM.Config.HWType",
  "VM.Config.Memory",
  "VM.Config.Network",
  "VM.Config.Options",
  "VM.Console",
  "VM.GuestAgent.Audit",
  "VM.GuestAgent.FileRead",
  "VM.GuestAgent.FileSystemMgmt",
  "VM.GuestAgent.FileWrite",
  "VM.GuestAgent.Unrestricted",
  "VM.Migrate",
  "VM.PowerMgmt",
  "VM.Replicate",
  "VM.Snapshot",
  "VM.Snapshot.Rollback",
] as const;

const DEFAULT_PATHS = ["/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

export const accessHandlers = [
  handler({
    method: "GET",
    path: "/access/permissions",
    parameters: { path: optional(string()), userid: optional(string()) },
    returns: "object",
    handle: ({ params, caller }) => {
      if (params.userid !== undefined && params.userid !== caller.name && params.userid !== caller.name.split("!")[0])
        throw notEmulated(`users other than the caller ('${params.userid}')`);
      const granted = Object.fromEntries(PRIVILEGES.map((privilege) => [privilege, 1]));
      const paths = params.path === undefined ? DEFAULT_PATHS : [params.path];
      return Object.fromEntries(paths.map((path) => [path, granted]));
    },
  }),
];
