/** `/nodes/{node}/qemu/{vmid}/config`, `pending`, `cloudinit`, `resize`, `unlink` */
import { open } from "node:fs/promises";
import { parseDiskSize, printDiskSize } from "../../../../pve/size";
import { isCloudInitDrive } from "../../../../pve/vm-config";
import { parseVolumeId } from "../../../../pve/volume-id";
import { checkNode, type Lab } from "../../../context";
import { notEmulated, parameterError } from "../../../errors";
import { type GuestConfig } from "../../../guests";
import { boolean, nodeParameter, oneOf, optional, splitList, string, vmIdParameter } from "../../../params";
import { cloudInitMetaData, cloudInitNetworkConfig, cloudInitUserData } from "../../../qemu";
import { all, any } from "../../../privileges/permission-check";
import { type Access } from "../../../privileges/access-control";
import { requireChange } from "../../../privileges/vm-access";
import { handler } from "../../../router";
import { type TaskContext, type VmConfig } from "../../../types";
import {
  configValues,
  isVmConfigKey,
  typedConfig,
  unsupportedVmConfig,
  vmConfigParameters,
} from "../../../vm/config-schema";
import { normalizeValues } from "../../../vm/config-values";
import { checkDrives } from "../../../vm/drive-volumes";
import { isRemovable, parseDrive, printDrive } from "../../../vm/drive";
import { pendingView, updateGuest } from "../../../vm/update";
import { without } from "../../../without";

const guest = { node: nodeParameter, vmid: vmIdParameter };
const update = {
  ...vmConfigParameters,
  ...guest,
  delete: optional(string()),
  digest: optional(string({ maxLength: 40 })),
  force: optional(boolean()),
  skiplock: optional(boolean()),
};

export const qemuConfigHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/config",
    permissions: all("/vms/{vmid}", "VM.Audit"),
    parameters: { ...guest, current: optional(boolean()) },
    unsupported: ["snapshot"],
    returns: "object",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const config = lab.guests.read(params.vmid);
      const shown = params.current === true ? config.current : pendingView(config);
      return { ...typedConfig(shown), digest: config.digest };
    },
  }),
  handler({
    method: "PUT",
    path: "/nodes/{node}/qemu/{vmid}/config",
    permissions: any(
      "/vms/{vmid}",
      "VM.Config.Disk",
      "VM.Config.CDROM",
      "VM.Config.CPU",
      "VM.Config.Memory",
      "VM.Config.Network",
      "VM.Config.HWType",
      "VM.Config.Options",
      "VM.Config.Cloudinit",
    ),
    parameters: update,
    unsupported: [...unsupportedVmConfig, "revert"],
    returns: "null",
    authorize: ({ lab, access, params, all }) => {
      const values = without(configValues(all), "template");
      const deleted = checkDeleted(splitList(params.delete ?? ""), values);
      requireChange(access, lab, { vmId: params.vmid, values, deleted });
    },
    handle: async ({ lab, params, all }) => {
      checkNode(lab, params.node);
      const { vmid } = params;
      if (params.skiplock === true) throw parameterError({ skiplock: "Only root may use this option." });
      if (params.template === true) throw notEmulated("templates");
      const sent = without(configValues(all), "template");
      const deleted = checkDeleted(splitList(params.delete ?? ""), sent);
      const values = await normalizeValues(keepMacAddresses(lab.guests.read(vmid), sent));
      checkDrives(lab.volumes, values);
      const context: TaskContext = { log: () => undefined, signal: new AbortController().signal };
      await updateGuest(lab, vmid, { values, deleted, force: params.force === true, digest: params.digest }, context);
      return null;
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/pending",
    permissions: all("/vms/{vmid}", "VM.Audit"),
    parameters: guest,
    returns: "array",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const { current, pending, pendingDelete } = lab.guests.read(params.vmid);
      const values = typedConfig(current);
      const waiting = typedConfig(pending);
      return [...new Set([...Object.keys(values), ...Object.keys(waiting)])].sort().map((key) => ({
        key,
        ...(values[key] === undefined ? {} : { value: values[key] }),
        ...(waiting[key] === undefined ? {} : { pending: waiting[key] }),
        ...(pendingDelete.includes(key) ? { delete: 1 } : {}),
      }));
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/cloudinit/dump",
    permissions: all("/vms/{vmid}", "VM.Audit"),
    parameters: { ...guest, type: oneOf("user", "network", "meta") },
    returns: "string",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      return dumpCloudInit(params.vmid, pendingView(lab.guests.read(params.vmid)), params.type);
    },
  }),
  handler({
    method: "PUT",
    path: "/nodes/{node}/qemu/{vmid}/cloudinit",
    permissions: all("/vms/{vmid}", "VM.Config.Cloudinit"),
    parameters: guest,
    returns: "null",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      lab.guests.checkLock(params.vmid);
      const { current } = lab.guests.read(params.vmid);
      if (!Object.values(current).some((value) => isCloudInitDrive(value)))
        throw new Error("No cloudinit drive found to update");
      if (lab.machines.status(params.vmid).status === "running")
        throw notEmulated("changing the cloud-init drive of a running guest; it is written at each start");
      return null;
    },
  }),
  handler({
    method: "PUT",
    path: "/nodes/{node}/qemu/{vmid}/resize",
    permissions: all("/vms/{vmid}", "VM.Config.Disk"),
    parameters: {
      ...guest,
      disk: string({
        format: (text) =>
          /^(ide|sata|scsi|virtio)\d+$/.test(text)
            ? undefined
            : `value '${text}' does not have a value in the enumeration`,
      }),
      size: string({
        format: (text) => (/^\+?\d+(\.\d+)?[KMGT]?$/.test(text) ? undefined : "value does not match the regex pattern"),
      }),
      digest: optional(string({ maxLength: 40 })),
      skiplock: optional(boolean()),
    },
    returns: "string",
    handle: ({ lab, caller, access, params }) => {
      checkNode(lab, params.node);
      if (params.skiplock === true) throw parameterError({ skiplock: "Only root may use this option." });
      lab.guests.read(params.vmid);
      return lab.tasks.start({
        type: "resize",
        id: String(params.vmid),
        user: caller.name,
        work: () => lab.guests.exclusively(params.vmid, () => resizeDisk(lab, access, params)),
      });
    },
  }),
  handler({
    method: "PUT",
    path: "/nodes/{node}/qemu/{vmid}/unlink",
    permissions: all("/vms/{vmid}", "VM.Config.Disk"),
    parameters: { ...guest, idlist: string(), force: optional(boolean()) },
    returns: "null",
    authorize: ({ lab, access, params }) =>
      requireChange(access, lab, {
        ...{ vmId: params.vmid, values: {} },
        deleted: checkDeleted(splitList(params.idlist), {}),
      }),
    handle: async ({ lab, params }) => {
      checkNode(lab, params.node);
      const deleted = checkDeleted(splitList(params.idlist), {});
      const context: TaskContext = { log: () => undefined, signal: new AbortController().signal };
      await updateGuest(lab, params.vmid, { values: {}, deleted, force: params.force === true }, context);
      return null;
    },
  }),
];

/** @throws ApiError 400 for a key that PVE does not have, or that is set in the same call. */
function checkDeleted(keys: readonly string[], sent: VmConfig): readonly string[] {
  for (const key of keys) {
    if (!isVmConfigKey(key)) throw parameterError({ delete: `unknown option '${key}'` });
    if (sent[key] !== undefined)
      throw parameterError({ delete: `you can't use '-${key}' and '-delete ${key}' at the same time` });
  }
  return keys;
}

/** A card that is sent without an address keeps the one it has (PVE::API2::Qemu `update_vm_api`). */
function keepMacAddresses(config: GuestConfig, sent: VmConfig): VmConfig {
  const known = pendingView(config);
  return Object.fromEntries(
    Object.entries(sent).map(([key, value]) => {
      const model = /^(?:model=)?([a-z0-9-]+)(?=,|$)/.exec(value)?.[1];
      const address = /^[a-z0-9-]+=((?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})/.exec(known[key] ?? "")?.[1];
      const keeps = /^net\d+$/.test(key) && model !== undefined && address !== undefined && !/macaddr=/.test(value);
      return [key, keeps ? `${value},macaddr=${address}` : value];
    }),
  );
}

function dumpCloudInit(vmId: number, config: VmConfig, type: "user" | "network" | "meta"): string {
  // The lab's node has no resolver to hand on.
  const dns = { servers: [], search: [] };
  const user = cloudInitUserData(vmId, config);
  const network = cloudInitNetworkConfig(config, dns);
  if (type === "user") return user;
  return type === "network" ? network : cloudInitMetaData(user, network);
}

async function resizeDisk(
  lab: Lab,
  access: Access,
  { vmid, disk, size, digest }: { vmid: number; disk: string; size: string; digest?: string },
): Promise<void> {
  const config = lab.guests.read(vmid);
  lab.guests.checkLock(vmid);
  if (digest !== undefined && digest !== config.digest)
    throw new Error("detected modified configuration - file changed by other user? Try again.");
  const value = config.current[disk];
  if (value === undefined) throw new Error(`disk '${disk}' does not exist`);
  const drive = parseDrive(disk, value);
  if (isRemovable(drive)) throw new Error("you can't resize a cdrom");
  access.require(`/storage/${parseVolumeId(drive.file).storage}`, "Datastore.AllocateSpace");
  const before = await lab.volumes.sizeOf(drive.file);
  const wanted = size.startsWith("+") ? before + parseDiskSize(size.slice(1)) : parseDiskSize(size);
  // QEMU's block layer counts in sectors; PVE rounds up to whole KiB.
  const after = Math.ceil(wanted / 1024) * 1024;
  if (after < before) throw new Error("shrinking disks is not supported");
  if (after > before) {
    const qmp = lab.machines.qmp(vmid);
    if (qmp === undefined) {
      const file = await open(lab.volumes.pathOf(drive.file), "r+");
      await file.truncate(after).finally(() => file.close());
    } else {
      await qmp.execute("block_resize", { device: lab.machines.driveId(disk), size: after });
    }
  }
  const resized = printDrive({ file: drive.file, options: { ...drive.options, size: printDiskSize(after) } });
  lab.guests.write(vmid, { ...config, current: { ...config.current, [disk]: resized } });
}
