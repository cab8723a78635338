/** `/nodes/{node}/storage` and `…/storage/{storage}/status` */
import { checkNode, type Lab } from "../../../context";
import { boolean, nodeParameter, optional, splitList, storageParameter, string } from "../../../params";
import { any, EVERYBODY } from "../../../privileges/permission-check";
import { handler } from "../../../router";
import { type StorageDefinition } from "../../../storage-config";

export const storageStatusHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/storage",
    permissions: EVERYBODY,
    parameters: {
      node: nodeParameter,
      content: optional(string()),
      enabled: optional(boolean()),
      storage: optional(storageParameter),
    },
    unsupported: ["format", "target"],
    returns: "array",
    handle: async ({ lab, access, params }) => {
      checkNode(lab, params.node);
      const contents = splitList(params.content ?? "");
      const found = lab.storages
        .list()
        .filter(
          ({ storage, content, disable }) =>
            access.hasAny(`/storage/${storage}`, "Datastore.Audit", "Datastore.AllocateSpace") &&
            (params.storage === undefined || storage === params.storage) &&
            (contents.length === 0 || contents.some((one) => content.includes(one))) &&
            (params.enabled !== true || disable !== true),
        );
      return await Promise.all(
        found.map(async (definition) => {
          const status = await storageStatus(lab, definition);
          return {
            ...status,
            storage: definition.storage,
            used_fraction: status.total === 0 ? 0 : status.used / status.total,
          };
        }),
      );
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/storage/{storage}",
    permissions: any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace"),
    parameters: { node: nodeParameter, storage: storageParameter },
    returns: "array",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      lab.storages.get(params.storage);
      return ["content", "download-url", "prunebackups", "status"].map((subdir) => ({ subdir }));
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/storage/{storage}/status",
    permissions: any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace"),
    parameters: { node: nodeParameter, storage: storageParameter },
    returns: "object",
    handle: async ({ lab, params }) => {
      checkNode(lab, params.node);
      return await storageStatus(lab, lab.storages.get(params.storage));
    },
  }),
];

async function storageStatus(
  lab: Lab,
  definition: StorageDefinition,
): Promise<{ total: number; used: number } & Record<string, unknown>> {
  const enabled = definition.disable !== true;
  const active = lab.storages.isActive(definition);
  const total = active ? lab.storages.totalBytes(definition) : 0;
  const used = active ? Math.min(total, await lab.volumes.usedBytes(definition)) : 0;
  return {
    type: definition.type,
    content: definition.content.join(","),
    active: active ? 1 : 0,
    enabled: enabled ? 1 : 0,
    shared: definition.shared === true ? 1 : 0,
    total,
    used,
    avail: total - used,
  };
}
