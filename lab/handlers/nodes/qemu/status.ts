/** `/nodes/{node}/qemu/{vmid}/status` */
import { checkNode, type Lab } from "../../../context";
import { parameterError } from "../../../errors";
import { boolean, integer, nodeParameter, optional, vmIdParameter } from "../../../params";
import { all, EVERYBODY } from "../../../privileges/permission-check";
import { type Caller, handler } from "../../../router";
import { type TaskContext } from "../../../types";
import { shutDownGuest, startGuest, stopGuest } from "../../../vm/machine-tasks";
import { guestStatus, isAgentEnabled } from "../../../vm/status";

/** PVE's time limit of a shutdown without `timeout`. Seconds. */
const SHUTDOWN_TIMEOUT_SECONDS = 60;

const guest = { node: nodeParameter, vmid: vmIdParameter };
const power = { ...guest, skiplock: optional(boolean()), timeout: optional(integer(0)) };

export const qemuStatusHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/status",
    permissions: EVERYBODY,
    parameters: guest,
    returns: "array",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      lab.guests.read(params.vmid);
      return ["current", "start", "stop", "reset", "shutdown", "reboot"].map((subdir) => ({ subdir }));
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/status/current",
    permissions: all("/vms/{vmid}", "VM.Audit"),
    parameters: guest,
    returns: "object",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const status = guestStatus(lab, params.vmid);
      return {
        ...status,
        ha: { managed: 0 },
        cpu: 0,
        mem: 0,
        disk: 0,
        diskread: 0,
        diskwrite: 0,
        netin: 0,
        netout: 0,
        ...(isAgentEnabled(lab.guests.read(params.vmid).current) ? { agent: 1 } : {}),
      };
    },
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/status/start",
    permissions: all("/vms/{vmid}", "VM.PowerMgmt"),
    parameters: power,
    unsupported: [
      "force-cpu",
      "machine",
      "migratedfrom",
      "migration_network",
      "migration_type",
      "nets-host-mtu",
      "stateuri",
      "targetstorage",
      "with-conntrack-state",
    ],
    returns: "string",
    handle: ({ lab, caller, params }) =>
      powerTask(lab, caller, params, "qmstart", (context) => startGuest(lab, params.vmid, context)),
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/status/stop",
    permissions: all("/vms/{vmid}", "VM.PowerMgmt"),
    parameters: power,
    unsupported: ["keepActive", "migratedfrom", "overrule-shutdown"],
    returns: "string",
    handle: ({ lab, caller, params }) => powerTask(lab, caller, params, "qmstop", () => stopGuest(lab, params.vmid)),
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/status/shutdown",
    permissions: all("/vms/{vmid}", "VM.PowerMgmt"),
    parameters: { ...power, forceStop: optional(boolean()) },
    unsupported: ["keepActive"],
    returns: "string",
    handle: ({ lab, caller, params }) => {
      const options = {
        timeoutSeconds: params.timeout ?? SHUTDOWN_TIMEOUT_SECONDS,
        forceStop: params.forceStop === true,
      };
      return powerTask(lab, caller, params, "qmshutdown", (context) =>
        shutDownGuest(lab, params.vmid, options, context),
      );
    },
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/status/reboot",
    permissions: all("/vms/{vmid}", "VM.PowerMgmt"),
    parameters: { ...guest, timeout: optional(integer(0)) },
    returns: "string",
    handle: ({ lab, caller, params }) => {
      checkRunning(lab, params);
      const options = { timeoutSeconds: params.timeout ?? SHUTDOWN_TIMEOUT_SECONDS, forceStop: false };
      return powerTask(lab, caller, params, "qmreboot", async (context) => {
        await shutDownGuest(lab, params.vmid, options, context);
        await startGuest(lab, params.vmid, context);
      });
    },
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/status/reset",
    permissions: all("/vms/{vmid}", "VM.PowerMgmt"),
    parameters: { ...guest, skiplock: optional(boolean()) },
    returns: "string",
    handle: ({ lab, caller, params }) => {
      checkRunning(lab, params);
      return powerTask(lab, caller, params, "qmreset", async () => {
        lab.guests.checkLock(params.vmid);
        await lab.machines.qmp(params.vmid)?.execute("system_reset");
      });
    },
  }),
];

function powerTask(
  lab: Lab,
  caller: Caller,
  params: { node: string; vmid: number; skiplock?: boolean },
  type: string,
  work: (context: TaskContext) => Promise<void>,
): string {
  checkNode(lab, params.node);
  if (params.skiplock === true) throw parameterError({ skiplock: "Only root may use this option." });
  lab.guests.read(params.vmid);
  return lab.tasks.start({ type, id: String(params.vmid), user: caller.name, work });
}

function checkRunning(lab: Lab, params: { node: string; vmid: number }): void {
  checkNode(lab, params.node);
  lab.guests.read(params.vmid);
  if (lab.machines.status(params.vmid).status !== "running") throw new Error(`VM ${params.vmid} not running`);
}
