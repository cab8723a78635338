/** `/nodes/{node}/qemu/{vmid}/agent`: calls to the guest agent. */
import { checkNode, type Lab } from "../../../context";
import { parameterError } from "../../../errors";
import { array, boolean, integer, nodeParameter, optional, string, vmIdParameter } from "../../../params";
import { agentExec, agentExecStatus, agentFileRead, agentFileWrite, agentIsAlive } from "../../../qemu";
import { handler, type Handler, type Method } from "../../../router";
import { type GuestAgent } from "../../../types";
import { isAgentEnabled } from "../../../vm/status";

/** A freeze may wait for the guest's disks. */
const FREEZE_TIMEOUT_MS = 10 * 60 * 1000;

const guest = { node: nodeParameter, vmid: vmIdParameter };

/** Calls without parameters whose answer is the agent's, wrapped in `result`: name in the path, agent command. */
const SIMPLE: readonly [Method, string, string, number?][] = [
  ["POST", "ping", "guest-ping"],
  ["POST", "fsfreeze-freeze", "guest-fsfreeze-freeze", FREEZE_TIMEOUT_MS],
  ["POST", "fsfreeze-status", "guest-fsfreeze-status"],
  ["POST", "fsfreeze-thaw", "guest-fsfreeze-thaw", FREEZE_TIMEOUT_MS],
  ["POST", "fstrim", "guest-fstrim", FREEZE_TIMEOUT_MS],
  ["GET", "get-fsinfo", "guest-get-fsinfo"],
  ["GET", "get-host-name", "guest-get-host-name"],
  ["GET", "get-osinfo", "guest-get-osinfo"],
  ["GET", "get-time", "guest-get-time"],
  ["GET", "get-timezone", "guest-get-timezone"],
  ["GET", "get-users", "guest-get-users"],
  ["GET", "get-vcpus", "guest-get-vcpus"],
  ["GET", "info", "guest-info"],
  ["GET", "network-get-interfaces", "guest-network-get-interfaces"],
];

export const agentHandlers: readonly Handler[] = [
  ...SIMPLE.map(([method, name, command, timeoutMs]) =>
    handler({
      method,
      path: `/nodes/{node}/qemu/{vmid}/agent/${name}`,
      parameters: guest,
      returns: "object",
      handle: async ({ lab, params }) => {
        const agent = await availableAgent(lab, params);
        // The check was a ping already.
        return { result: command === "guest-ping" ? {} : await agent.execute(command, undefined, timeoutMs) };
      },
    }),
  ),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/agent/exec",
    parameters: { ...guest, command: array(), "input-data": optional(string({ maxLength: 65536 })) },
    returns: "object",
    handle: async ({ lab, params }) =>
      await agentExec(await availableAgent(lab, params), params.command, params["input-data"]),
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/agent/exec-status",
    parameters: { ...guest, pid: integer() },
    returns: "object",
    handle: async ({ lab, params }) => await agentExecStatus(await availableAgent(lab, params), params.pid),
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/qemu/{vmid}/agent/file-read",
    parameters: { ...guest, file: string() },
    unsupported: ["count", "decode", "offset"],
    returns: "object",
    handle: async ({ lab, params }) => await agentFileRead(await availableAgent(lab, params), params.file),
  }),
  handler({
    method: "POST",
    path: "/nodes/{node}/qemu/{vmid}/agent/file-write",
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
