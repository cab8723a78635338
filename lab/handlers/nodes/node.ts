/** `/nodes` and what is said of the node itself. */
import { cpus, loadavg, release, type as systemName, version as kernelVersion, machine } from "node:os";
import { checkNode, type Lab } from "../../context";
import { nodeParameter } from "../../params";
import { all, EVERYBODY } from "../../privileges/permission-check";
import { handler } from "../../router";
import { nodeSummaries } from "../cluster/resources";
import { VERSION } from "../version";

const node = { node: nodeParameter };

export const nodeHandlers = [
  handler({
    method: "GET",
    path: "/nodes",
    permissions: EVERYBODY,
    parameters: {},
    returns: "array",
    handle: ({ lab, access }) => {
      const mem = usedMemory(lab);
      const knowsMemory = (node: Record<string, unknown>): boolean =>
        node["node"] === lab.spec.node.name && node["mem"] !== undefined;
      return nodeSummaries(lab, access).map((node) => (knowsMemory(node) ? { ...node, mem } : node));
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/status",
    permissions: all("/nodes/{node}", "Sys.Audit"),
    parameters: node,
    returns: "object",
    handle: async ({ lab, params }) => {
      checkNode(lab, params.node);
      const { cores, memoryBytes } = lab.spec.node;
      const used = usedMemory(lab);
      const root = lab.storages.find("local") ?? lab.storages.list()[0];
      const total = root === undefined ? 0 : lab.storages.totalBytes(root);
      const rootUsed = root === undefined ? 0 : await lab.volumes.usedBytes(root);
      return {
        cpu: 0,
        cpuinfo: { cpus: cores, cores, sockets: 1, model: cpus()[0]?.model ?? "unknown" },
        "boot-info": { mode: "legacy-bios" },
        "current-kernel": { sysname: systemName(), release: release(), version: kernelVersion(), machine: machine() },
        loadavg: loadavg().map((value) => value.toFixed(2)),
        memory: { total: memoryBytes, used, free: memoryBytes - used, available: memoryBytes - used },
        pveversion: `pve-manager/${VERSION.version}/${VERSION.repoid}`,
        rootfs: { total, used: rootUsed, free: total - rootUsed, avail: total - rootUsed },
        uptime: lab.uptime(),
      };
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/version",
    permissions: EVERYBODY,
    parameters: node,
    returns: "object",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      return VERSION;
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/time",
    permissions: all("/nodes/{node}", "Sys.Audit"),
    parameters: node,
    returns: "object",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const now = lab.now();
      const time = Math.floor(now.getTime() / 1000);
      return {
        time,
        localtime: time - now.getTimezoneOffset() * 60,
        timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      };
    },
  }),
];

/** Memory that the running guests may take. */
function usedMemory(lab: Lab): number {
  return lab.guests
    .list()
    .filter((vmId) => lab.machines.status(vmId).status === "running")
    .map((vmId) => Number(lab.guests.read(vmId).current["memory"] ?? 512) * 1024 * 1024)
    .reduce((sum, bytes) => sum + bytes, 0);
}
