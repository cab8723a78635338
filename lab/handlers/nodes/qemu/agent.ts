/** `/nodes/{node}/qemu/{vmid}/agent`: calls to the guest agent. */
import { type Privilege } from "../../../../pve/access/privileges";
import { checkNode, type Lab } from "../../../context";
import { parameterError } from "../../../errors";
import { array, boolean, integer, nodeParameter, optional, string, vmIdParameter } from "../../../params";
import { agentExec, agentExecStatus, agentFileRead, agentFileWrite, agentIsAlive } from "../../../qemu";
import { all, any } from "../../../privileges/permission-check";
import { handler, type Handler, type Method } from "../../../router";
import { type GuestAgent } from "../../../types";
import { isAgentEnabled } from "../../../vm/status";

/** A freeze may wait for the guest's disks. */
const FREEZE_TIMEOUT_MS = 10 * 60 * 1000;

const guest = { node: nodeParameter, vmid: vmIdParameter };

/** Calls without parameters whose answer is the agent's, wrapped in `result`. */
interface SimpleCall {
  readonly method: Method;
  /** Last part of the path. */
  readonly name: string;
  /** What allows it; the right to run anything always does. */
  readonly privileges: readonly Privilege[];
  readonly timeoutMs?: number;
}

const look = (method: Method, name: string): SimpleCall => ({ method, name, privileges: ["VM.GuestAgent.Audit"] });
const onFileSystems = (name: string): SimpleCall => ({
  ...{ method: "POST", name, privileges: ["VM.GuestAgent.FileSystemMgmt"] },
  timeoutMs: FREEZE_TIMEOUT_MS,
});
const SIMPLE: readonly SimpleCall[] = [
  look("POST", "ping"),
  onFileSystems("fsfreeze-freeze"),
  {
    ...{ method: "POST", name: "fsfreeze-status" },
    privileges: ["VM.GuestAgent.Audit", "VM.GuestAgent.FileSystemMgmt"],
  },
  onFileSystems("fsfreeze-thaw"),
  onFileSystems("fstrim"),
  look("GET", "get-fsinfo"),
  look("GET", "get-host-name"),
  look("GET", "get-osinfo"),
  look("GET", "get-time"),
  look("GET", "get-timezone"),
  look("GET", "get-users"),
  look("GET", "get-vcpus"),
  look("GET", "info"),
  look("GET", "network-get-interfaces"),
];

export const agentHandlers: readonly Handler[] = [
  ...SIMPLE.map(({ method, name, privileges, timeoutMs }) =>
    handler({
      method,
      path: `/nodes/{node}/qemu/{vmid}/agent/${name}`,
      permissions: any("/vms/{vmid}", ...privileges, "VM.GuestAgent.Unrestricted"),
      parameters: guest,
      returns: "object",
      handle: async ({ lab, params }) => {
        const agent = await availableAgent(lab, params);
        // The check was a ping already.
        return { result: name === "ping" ? {} : await agent.execute(`guest-${name}`, undefined, timeoutMs) };
      },
    }),
  ),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/agent/exec",
    permissions: all("/vms/{vmid}", "VM.GuestAgent.Unrestricted"),
    parameters: { ...guest, command: array(), "input-data": optional(string({ maxLength: 65536 })) },
    returns: "object",
    handle: async ({ lab, params }) =>
      await agentExec(await availableAgent(lab, params), params.command, params["input-data"]),
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/agent/exec-status",
    permissions: all("/vms/{vmid}", "VM.GuestAgent.Unrestricted"),
    parameters: { ...guest, pid: integer() },
    returns: "object",
    handle: async ({ lab, params }) => await agentExecStatus(await availableAgent(lab, params), params.pid),
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/agent/file-read",
    permissions: any("/vms/{vmid}", "VM.GuestAgent.FileRead", "VM.GuestAgent.Unrestricted"),
    parameters: { ...guest, file: string() },
    unsupported: ["count", "decode", "offset"],
    returns: "object",
    handle: async ({ lab, params }) => await agentFileRead(await availableAgent(lab, params), params.file),
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/agent/file-write",
    permissions: any("/vms/{vmid}", "VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted"),
    parameters: { ...guest, file: string(), content: string({ maxLength: 61440 }), encode: optional(boolean()) },
    returns: "null",
    handle: async ({ lab, params }) => {
      const encoded = params.encode === false;
      if (encoded && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(params.content))
        throw parameterError({ content: "with encode=0 the content must be base64" });
      await agentFileWrite(await availableAgent(lab, params), params.file, params.content, encoded);
      return null;
    },
  }),
];

/** @throws Error with the texts of PVE's checks (PVE::QemuServer::Agent `agent_available`). */
async function availableAgent(lab: Lab, { node, vmid }: { node: string; vmid: number }): Promise<GuestAgent> {
  checkNode(lab, node);
  if (!isAgentEnabled(lab.guests.read(vmid).current)) throw new Error("No QEMU guest agent configured");
  if (lab.machines.status(vmid).status !== "running") throw new Error(`VM ${vmid} is not running`);
  const agent = lab.machines.agent(vmid);
  if (agent === undefined || !(await agentIsAlive(agent))) throw new Error("QEMU guest agent is not running");
  return agent;
}
