/** `/nodes/{node}/storage/{storage}/content` and `…/prunebackups` */
import { existsSync } from "node:fs";
import { pruneArchives, removeArchive } from "../../../backup/archives";
import { type PruneEntry } from "../../../backup/types";
import { isProtected, readNotes, setProtected, writeNotes } from "../../../backup-files";
import { checkNode, type Lab } from "../../../context";
import { parameterError } from "../../../errors";
import {
  boolean,
  integer,
  nodeParameter,
  oneOf,
  optional,
  storageParameter,
  string,
  vmIdParameter,
} from "../../../params";
import { any, EVERYBODY } from "../../../privileges/permission-check";
import { mayReadVolume, requireVolumeAccess, requireVolumeRemoval } from "../../../privileges/volume-access";
import { handler } from "../../../router";
import { parseRetention } from "../../../retention";
import { listContent } from "../../../storage-content";
import { refersTo } from "../../../vm/config-change";
import { pruneBackupsParameter } from "../../../vzdump";

const volumeParameters = { node: nodeParameter, storage: optional(storageParameter), volume: string() };
const pruneParameters = {
  node: nodeParameter,
  storage: storageParameter,
  "prune-backups": optional(pruneBackupsParameter),
  type: optional(oneOf("qemu", "lxc")),
  vmid: optional(vmIdParameter),
};

export const storageContentHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/storage/{storage}/content",
    permissions: any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace"),
    parameters: {
      node: nodeParameter,
      storage: storageParameter,
      content: optional(string()),
      vmid: optional(vmIdParameter),
    },
    returns: "array",
    handle: async ({ lab, access, params }) => {
      checkNode(lab, params.node);
      const definition = lab.storages.get(params.storage);
      if (definition.disable === true) throw new Error(`storage '${params.storage}' is disabled`);
      lab.storages.requireOnline(definition);
      const items = await listContent(lab.volumes, definition, { content: params.content, vmId: params.vmid });
      return items.filter(({ volid }) => mayReadVolume(access, lab.volumes, volid));
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/storage/{storage}/content/{volume}",
    permissions: EVERYBODY,
    parameters: volumeParameters,
    returns: "object",
    authorize: ({ lab, access, params }) => requireVolumeAccess(access, lab.volumes, volumeId(params)),
    handle: async ({ lab, params }) => {
      const { volid, path } = existingVolume(lab, params);
      const { definition, content } = lab.volumes.parse(volid);
      const item = (await listContent(lab.volumes, definition, { content })).find((one) => one.volid === volid);
      if (item === undefined) throw new Error(`volume_size_info on '${volid}' failed`);
      const notes = content === "backup" ? readNotes(path) : "";
      return {
        path: lab.storages.reportedPath(definition, path),
        size: item.size,
        used: item.used ?? item.size,
        format: item.format,
        ...(notes === "" ? {} : { notes }),
        ...(content === "backup" ? { protected: isProtected(path) ? 1 : 0 } : {}),
      };
    },
  }),
  handler({
    method: "PUT",
    path: "/nodes/{node}/storage/{storage}/content/{volume}",
    permissions: EVERYBODY,
    parameters: { ...volumeParameters, notes: optional(string()), protected: optional(boolean()) },
    returns: "null",
    authorize: ({ lab, access, params }) => requireVolumeAccess(access, lab.volumes, volumeId(params)),
    handle: async ({ lab, params }) => {
      const { volid, path } = existingVolume(lab, params);
      if (lab.volumes.parse(volid).content !== "backup")
        throw new Error(`volume '${volid}' has no attributes that can be changed`);
      if (params.notes !== undefined) await writeNotes(path, params.notes);
      if (params.protected !== undefined) await setProtected(path, params.protected);
      return null;
    },
  }),
  handler({
    method: "DELETE",
    path: "/nodes/{node}/storage/{storage}/content/{volume}",
    permissions: EVERYBODY,
    parameters: { ...volumeParameters, delay: optional(integer(1, 30)) },
    returns: "string",
    authorize: ({ lab, access, params }) => requireVolumeRemoval(access, lab.volumes, volumeId(params)),
    handle: async ({ lab, caller, params }) => {
      checkNode(lab, params.node);
      const volid = volumeId(params);
      const { definition, content, vmId } = lab.volumes.parse(volid);
      const path = lab.volumes.pathOf(volid);
      const owner = vmId ?? /vzdump-qemu-(\d+)-/.exec(volid)?.[1];
      const upid = lab.tasks.start({
        type: "imgdel",
        id: owner === undefined ? definition.storage : `${owner}@${definition.storage}`,
        user: caller.name,
        work: async ({ log }) => {
          if (content === "backup" && isProtected(path))
            throw new Error(`cannot remove protected volume '${volid}' on '${definition.storage}'`);
          if (content === "images") checkUnused(lab, volid, vmId);
          if (!existsSync(path)) throw new Error(`volume '${volid}' does not exist`);
          if (content === "backup") await removeArchive(path);
          else await lab.volumes.free(volid);
          log(`Removed volume '${volid}'`);
        },
      });
      if (params.delay === undefined) return upid;
      await Promise.race([lab.tasks.wait(upid), delay(params.delay)]);
      return lab.tasks.status(upid).exitstatus === "OK" ? null : upid;
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/storage/{storage}/prunebackups",
    permissions: any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace"),
    parameters: pruneParameters,
    returns: "array",
    handle: async ({ lab, params }) => {
      checkNode(lab, params.node);
      return await prune(lab, params, { dryRun: true });
    },
  }),
  handler({
    method: "DELETE",
    path: "/nodes/{node}/storage/{storage}/prunebackups",
    permissions: EVERYBODY,
    parameters: pruneParameters,
    returns: "string",
    authorize: ({ access, params: { storage, vmid } }) => {
      access.require(`/storage/${storage}`, vmid === undefined ? "Datastore.Allocate" : "Datastore.AllocateSpace");
      if (vmid !== undefined) access.require(`/vms/${vmid}`, "VM.Backup");
    },
    handle: ({ lab, caller, params }) => {
      checkNode(lab, params.node);
      retention(lab, params);
      return lab.tasks.start({
        type: "prunebackups",
        id: params.vmid === undefined ? params.storage : `${params.vmid}@${params.storage}`,
        user: caller.name,
        work: async ({ log }) => {
          await prune(lab, params, { dryRun: false, log });
        },
      });
    },
  }),
];

/** The volume may be named with or without its storage; both must agree. */
function volumeId({ storage, volume }: { storage?: string; volume: string }): string {
  const named = /^([^/:]+):/.exec(volume)?.[1];
  if (named === undefined) {
    if (storage === undefined) throw parameterError({ volume: `unable to parse volume ID '${volume}'` });
    return `${storage}:${volume}`;
  }
  if (storage !== undefined && storage !== named)
    throw parameterError({ storage: `storage id mismatch ('${storage}' != '${named}')` });
  return volume;
}

function existingVolume(
  lab: Lab,
  params: { node: string; storage?: string; volume: string },
): { volid: string; path: string } {
  checkNode(lab, params.node);
  const volid = volumeId(params);
  const path = lab.volumes.pathOf(volid);
  if (!existsSync(path)) throw new Error(`volume '${volid}' does not exist`);
  return { volid, path };
}

/** @throws Error when a guest still uses the disk. */
function checkUnused(lab: Lab, volid: string, vmId: number | undefined): void {
  if (vmId === undefined || !lab.guests.exists(vmId)) return;
  const { current, pending } = lab.guests.read(vmId);
  if (refersTo(current, volid) || refersTo(pending, volid))
    throw new Error(`Cannot remove image, a guest with VMID '${vmId}' exists!`);
}

interface PruneTarget {
  readonly storage: string;
  readonly "prune-backups"?: string;
  readonly type?: "qemu" | "lxc";
  readonly vmid?: number;
}

function retention(lab: Lab, params: PruneTarget): ReturnType<typeof parseRetention> {
  const text = params["prune-backups"] ?? lab.storages.get(params.storage)["prune-backups"];
  if (text === undefined) throw new Error(`no prune-backups options configured for storage '${params.storage}'`);
  return parseRetention(text);
}

async function prune(
  lab: Lab,
  params: PruneTarget,
  options: { dryRun: boolean; log?: (line: string) => void },
): Promise<PruneEntry[]> {
  const definition = lab.storages.get(params.storage);
  if (!definition.content.includes("backup")) throw new Error(`storage '${params.storage}' does not support backups`);
  if (params.type === "lxc") return [];
  return await pruneArchives({
    ...options,
    dumpDir: lab.volumes.folderOf(definition, "backup"),
    storage: params.storage,
    retention: retention(lab, params),
    vmId: params.vmid,
  });
}

function delay(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000).unref());
}
