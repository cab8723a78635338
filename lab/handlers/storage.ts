/** `/storage`: the cluster's storage configuration. */
import { type Lab } from "../context";
import { notEmulated, parameterError } from "../errors";
import { boolean, integer, optional, splitList, storageParameter, string } from "../params";
import { all, EVERYBODY } from "../privileges/permission-check";
import { handler } from "../router";
import { type StorageDefinition } from "../storage-config";
import { pruneBackupsParameter } from "../vzdump";

const CONTENT = ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"];
const contentList = string({
  format: (text) => {
    const unknown = splitList(text).find((content) => !CONTENT.includes(content));
    return unknown === undefined ? undefined : `invalid format - invalid content type '${unknown}'`;
  },
});

const changeable = {
  content: optional(contentList),
  "create-base-path": optional(boolean()),
  "create-subdirs": optional(boolean()),
  disable: optional(boolean()),
  "max-protected-backups": optional(integer(-1)),
  nodes: optional(string()),
  "prune-backups": optional(pruneBackupsParameter),
  options: optional(string()),
  server: optional(string()),
  shared: optional(boolean()),
};

/** Options of storage types that the lab has not, and options of directories without an effect that it could have. */
const unsupported = (
  "blocksize bwlimit comstar_hg comstar_tg content-dirs data-pool domain encryption-key fingerprint format fs-name fuse " +
  "is_mountpoint keyring krbd lio_tpg master-pubkey mkdir monhost mountpoint namespace nocow nowritecache password pool " +
  "port preallocation saferemove saferemove-stepsize saferemove_throughput skip-cert-verification smbversion " +
  "snapshot-as-volume-chain sparse subdir tagged_only username zfs-base-path"
).split(" ");

export const storageHandlers = [
  handler({
    method: "GET",
    path: "/storage",
    permissions: EVERYBODY,
    parameters: { type: optional(string()) },
    returns: "array",
    handle: ({ lab, access, params }) =>
      lab.storages
        .list()
        .filter(({ storage }) => access.hasAny(`/storage/${storage}`, "Datastore.Audit", "Datastore.AllocateSpace"))
        .filter(({ type }) => params.type === undefined || type === params.type)
        .map((definition) => answer(lab, definition)),
  }),
  handler({
    method: "GET",
    path: "/storage/{storage}",
    permissions: all("/storage/{storage}", "Datastore.Allocate"),
    parameters: { storage: storageParameter },
    returns: "object",
    handle: ({ lab, params }) => answer(lab, lab.storages.get(params.storage)),
  }),
  handler({
    method: "POST",
    path: "/storage",
    permissions: all("/storage", "Datastore.Allocate"),
    parameters: {
      ...changeable,
      storage: storageParameter,
      type: string(),
      path: optional(string()),
      export: optional(string()),
    },
    unsupported: [
      ...unsupported,
      ..."authsupported base datastore iscsiprovider portal share target thinpool vgname".split(" "),
    ],
    returns: "object",
    handle: ({ lab, params }) => {
      const { storage, type, path, content, ...options } = params;
      if (lab.storages.find(storage) !== undefined)
        throw new Error(`create storage failed: storage ID '${storage}' already defined`);
      const types = splitList(content ?? CONTENT.filter((one) => one !== "none").join(","));
      const definition = { storage, content: types.filter((one) => one !== "none"), ...options };
      if (type === "dir") lab.storages.put({ ...definition, type, path: checkDirectory(path, options) });
      else if (type === "nfs") lab.storages.put({ ...definition, type, path: checkNfs(lab, storage, params) });
      else throw notEmulated(`storages of type '${type}' beyond those it was started with; use type 'dir' or 'nfs'`);
      return { storage, type };
    },
  }),
  handler({
    method: "PUT",
    path: "/storage/{storage}",
    permissions: all("/storage", "Datastore.Allocate"),
    parameters: {
      ...changeable,
      storage: storageParameter,
      delete: optional(string({ maxLength: 4096 })),
      digest: optional(string({ maxLength: 64 })),
    },
    unsupported,
    returns: "object",
    handle: ({ lab, params }) => {
      const { storage, delete: deleted, digest, content, ...options } = params;
      const current = lab.storages.get(storage);
      if (digest !== undefined && digest !== lab.storages.digest())
        throw new Error(
          "update storage failed: detected modified configuration - file changed by other user? Try again.",
        );
      const remove = new Set(splitList(deleted ?? ""));
      for (const option of remove)
        if (!Object.hasOwn(changeable, option)) throw parameterError({ delete: `no such option '${option}'` });
      const kept = Object.fromEntries(Object.entries(current).filter(([option]) => !remove.has(option)));
      lab.storages.put({
        ...kept,
        storage,
        type: current.type,
        content: content === undefined ? current.content : splitList(content).filter((one) => one !== "none"),
        ...options,
      });
      return { storage, type: current.type };
    },
  }),
  handler({
    method: "DELETE",
    path: "/storage/{storage}",
    permissions: all("/storage", "Datastore.Allocate"),
    parameters: { storage: storageParameter },
    returns: "null",
    handle: ({ lab, params }) => {
      if (lab.storages.find(params.storage) === undefined)
        throw new Error(`delete storage failed: storage '${params.storage}' does not exist`);
      lab.storages.remove(params.storage);
      return null;
    },
  }),
];

function answer(lab: Lab, definition: StorageDefinition): Record<string, string | number> {
  const { content, ...rest } = definition;
  const values = Object.entries(rest).map(
    ([key, value]) => [key, typeof value === "boolean" ? (value ? 1 : 0) : value] as const,
  );
  return { ...Object.fromEntries(values), content: content.join(","), digest: lab.storages.digest() };
}

/** @throws ApiError 400 for what is no folder, or has NFS options. */
function checkDirectory(path: string | undefined, { server, export: exported, options }: NfsOptions): string {
  const foreign = Object.entries({ server, export: exported, options }).filter(([, value]) => value !== undefined);
  if (foreign.length > 0)
    throw parameterError(
      Object.fromEntries(foreign.map(([name]) => [name, `unexpected property '${name}' for storage type 'dir'`])),
    );
  if (path === undefined) throw parameterError({ path: "property is missing and it is not optional" });
  if (!/^\/[^\s]*$/.test(path) || path.includes(".."))
    throw parameterError({ path: "invalid format - value must be an absolute path" });
  return path;
}

interface NfsOptions {
  readonly server?: string;
  readonly export?: string;
  readonly options?: string;
}

/** The lab's network has the NAS that its specification names, and no other server. Gives the mount point. */
function checkNfs(lab: Lab, storage: string, { server, export: exported }: NfsOptions): string {
  for (const [name, value] of Object.entries({ server, export: exported }))
    if (value === undefined) throw parameterError({ [name]: "property is missing and it is not optional" });
  if (!lab.spec.storages.some(({ id }) => id === storage))
    throw new Error(`create storage failed: storage '${storage}' is not online`);
  return `/mnt/pve/${storage}`;
}
