/** `/nodes/{node}/qemu`: list, create, restore, destroy. */
import { checkNode, type Lab } from "../../../context";
import { messageOf, parameterError } from "../../../errors";
import {
  boolean,
  integer,
  nodeParameter,
  optional,
  storageParameter,
  string,
  vmIdParameter,
  type ParameterValue,
} from "../../../params";
import { all, EVERYBODY } from "../../../privileges/permission-check";
import { type Access } from "../../../privileges/access-control";
import { requireCreation } from "../../../privileges/vm-access";
import { type Caller, handler } from "../../../router";
import { configValues, unsupportedVmConfig, vmConfigParameters } from "../../../vm/config-schema";
import { normalizeValues } from "../../../vm/config-values";
import { createGuest } from "../../../vm/create";
import { checkDestroyable, destroyGuest } from "../../../vm/destroy";
import { checkDrives } from "../../../vm/drive-volumes";
import { startGuest } from "../../../vm/machine-tasks";
import { prepareRestore, restoreGuest } from "../../../vm/restore";
import { guestStatus } from "../../../vm/status";
import { type VmConfig } from "../../../types";
import { without } from "../../../without";

const guest = { node: nodeParameter, vmid: vmIdParameter };

interface CreateParams {
  readonly vmid: number;
  readonly archive?: string;
  readonly pool?: string;
  readonly storage?: string;
  readonly start?: boolean;
  readonly force?: boolean;
  readonly unique?: boolean;
  readonly "live-restore"?: boolean;
  readonly bwlimit?: number;
}

export const qemuHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu",
    permissions: EVERYBODY,
    parameters: { node: nodeParameter },
    unsupported: ["full"],
    returns: "array",
    handle: ({ lab, access, params }) => {
      checkNode(lab, params.node);
      const visible = lab.guests.list().filter((vmId) => access.has(`/vms/${vmId}`, "VM.Audit"));
      return visible.map((vmId) => {
        const status = without(guestStatus(lab, vmId), "qmpstatus");
        return { ...status, cpu: 0, mem: 0, disk: 0, diskread: 0, diskwrite: 0, netin: 0, netout: 0 };
      });
    },
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu",
    permissions: EVERYBODY,
    parameters: {
      ...vmConfigParameters,
      ...guest,
      archive: optional(string({ maxLength: 255 })),
      bwlimit: optional(integer(0)),
      force: optional(boolean()),
      "live-restore": optional(boolean()),
      pool: optional(string()),
      start: optional(boolean()),
      storage: optional(storageParameter),
      unique: optional(boolean()),
    },
    unsupported: [...unsupportedVmConfig, "ha-managed", "import-working-storage"],
    returns: "string",
    authorize: ({ lab, access, params, all }) =>
      requireCreation(access, lab, { ...params, vmId: params.vmid }, without(configValues(all), "template")),
    handle: async ({ lab, caller, access, params, all }) => {
      checkNode(lab, params.node);
      if (params.template === true) throw parameterError({ template: "the lab does not emulate templates" });
      const values = await newConfig(all);
      return params.archive === undefined
        ? startCreate(lab, { caller, access }, params, values)
        : await startRestore(lab, { caller, access }, { ...params, archive: params.archive }, values);
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}",
    permissions: EVERYBODY,
    parameters: guest,
    returns: "array",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      lab.guests.read(params.vmid);
      return ["agent", "cloudinit", "config", "move_disk", "pending", "resize", "snapshot", "status"].map((subdir) => ({
        subdir,
      }));
    },
  }),
  handler({
    method: "DELETE",
    path: "/nodes/{node}/qemu/{vmid}",
    permissions: all("/vms/{vmid}", "VM.Allocate"),
    parameters: {
      ...guest,
      "destroy-unreferenced-disks": optional(boolean()),
      purge: optional(boolean()),
      skiplock: optional(boolean()),
    },
    returns: "string",
    handle: ({ lab, caller, params }) => {
      checkNode(lab, params.node);
      const { vmid } = params;
      if (params.skiplock === true) throw parameterError({ skiplock: "Only root may use this option." });
      checkDestroyable(lab, vmid);
      return lab.tasks.start({
        type: "qmdestroy",
        id: String(vmid),
        user: caller.name,
        work: (context) =>
          destroyGuest(
            lab,
            vmid,
            { purge: params.purge === true, unreferencedDisks: params["destroy-unreferenced-disks"] === true },
            context,
          ),
      });
    },
  }),
];

async function newConfig(all: Readonly<Record<string, ParameterValue>>): Promise<VmConfig> {
  return await normalizeValues(without(configValues(all), "template"));
}

function startCreate(
  lab: Lab,
  { caller, access }: { caller: Caller; access: Access },
  params: CreateParams,
  values: VmConfig,
): string {
  const { vmid } = params;
  const restoreOnly = (["force", "unique"] as const).filter((name) => params[name] === true);
  if (restoreOnly.length > 0)
    throw parameterError(Object.fromEntries(restoreOnly.map((name) => [name, "option requires option 'archive'"])));
  checkDrives(lab.volumes, values);
  try {
    lab.guests.create(vmid, "create");
  } catch (error) {
    throw new Error(`unable to create VM ${vmid} - ${messageOf(error)}`, {
      cause: error,
    });
  }
  return lab.tasks.start({
    type: "qmcreate",
    id: String(vmid),
    user: caller.name,
    work: async (context) => {
      await lab.guests.exclusively(vmid, () => createGuest(lab, { vmId: vmid, values, access }, context));
      finish(lab, caller, params);
    },
  });
}

async function startRestore(
  lab: Lab,
  { caller, access }: { caller: Caller; access: Access },
  params: CreateParams & { archive: string },
  overrides: VmConfig,
): Promise<string> {
  const { vmid } = params;
  const request = {
    vmId: vmid,
    archive: params.archive,
    storage: params.storage,
    unique: params.unique === true,
    force: params.force === true,
    liveRestore: params["live-restore"] === true,
    bandwidthLimitKiB: params.bwlimit,
    overrides,
    access,
  };
  const previous = await prepareRestore(lab, request);
  return lab.tasks.start({
    type: "qmrestore",
    id: String(vmid),
    user: caller.name,
    work: async (context) => {
      await restoreGuest(lab, request, previous, context);
      finish(lab, caller, params);
    },
  });
}

/** The pool, and the start as a task of its own: its failure does not fail this one (PVE::API2::Qemu). */
function finish(lab: Lab, caller: Caller, { vmid, pool, start }: CreateParams): void {
  if (pool !== undefined) lab.pools.addGuest(pool, vmid);
  if (start === true)
    lab.tasks.start({
      type: "qmstart",
      id: String(vmid),
      user: caller.name,
      work: (context) => startGuest(lab, vmid, context),
    });
}
