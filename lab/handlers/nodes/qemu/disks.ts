/** `/nodes/{node}/qemu/{vmid}/move_disk` to another guest, and the list of snapshots, which keep a disk where it is. */
import { checkNode } from "../../../context";
import { notEmulated, parameterError } from "../../../errors";
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
import { all } from "../../../privileges/permission-check";
import { handler } from "../../../router";
import { checkReassignment, reassignDisk, storageOf } from "../../../vm/reassign";

const guest = { node: nodeParameter, vmid: vmIdParameter };

const diskKey = string({
  format: (text) =>
    /^(?:ide[0-3]|sata[0-5]|scsi(?:[0-9]|[12][0-9]|30)|virtio(?:[0-9]|1[0-5])|efidisk0|tpmstate0|unused\d{1,3})$/.test(
      text,
    )
      ? undefined
      : `value '${text}' does not have a value in the enumeration`,
});

export const qemuDiskHandlers = [
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/move_disk",
    permissions: all("/vms/{vmid}", "VM.Config.Disk"),
    parameters: {
      ...guest,
      bwlimit: optional(integer(0)),
      delete: optional(boolean()),
      digest: optional(string({ maxLength: 40 })),
      disk: diskKey,
      format: optional(oneOf("raw", "qcow2", "vmdk")),
      storage: optional(storageParameter),
      "target-digest": optional(string({ maxLength: 40 })),
      "target-disk": optional(diskKey),
      "target-vmid": optional(vmIdParameter),
    },
    returns: "string",
    authorize: ({ access, params }) => {
      const target = params["target-vmid"];
      if (target !== undefined) access.require(`/vms/${target}`, "VM.Config.Disk");
    },
    handle: ({ lab, caller, access, params }) => {
      checkNode(lab, params.node);
      const { vmid, disk, storage } = params;
      const target = params["target-vmid"];
      if (target === undefined) {
        if (storage !== undefined) throw notEmulated("moving a disk to another storage");
        const missing = "both 'storage' and 'target-vmid' missing, either needs to be set";
        throw parameterError({ "target-vmid": missing, storage: missing });
      }
      if (storage !== undefined) {
        const both = "either set 'storage' or 'target-vmid', but not both";
        throw parameterError({ "target-vmid": both, storage: both });
      }
      if (target === vmid)
        throw parameterError({ "target-vmid": "must be different than source VMID to reassign disk" });
      const targetDisk = params["target-disk"] ?? disk;
      const reassignment = {
        ...{ vmId: vmid, disk, targetVmId: target, targetDisk },
        ...{ digest: params.digest, targetDigest: params["target-digest"] },
      };
      const volume = checkReassignment(lab, reassignment);
      access.require(`/storage/${storageOf(volume)}`, "Datastore.AllocateSpace");
      return lab.tasks.start({
        type: "qmmove",
        id: `${vmid}-${disk}>${target}-${targetDisk}`,
        user: caller.name,
        work: (context) => reassignDisk(lab, reassignment, context),
      });
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/snapshot",
    permissions: all("/vms/{vmid}", "VM.Audit"),
    parameters: guest,
    returns: "array",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const { digest } = lab.guests.read(params.vmid);
      const running = lab.machines.status(params.vmid).status === "running" ? 1 : 0;
      const snapshots = lab.guests.snapshots(params.vmid).map(({ name, config }) => ({
        ...{ name, description: config["description"] ?? "" },
        ...(config["parent"] === undefined ? {} : { parent: config["parent"] }),
        ...(config["snaptime"] === undefined ? {} : { snaptime: Number(config["snaptime"]) }),
      }));
      return [...snapshots, { name: "current", description: "You are here!", digest, running }];
    },
  }),
];
