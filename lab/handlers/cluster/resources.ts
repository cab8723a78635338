/** `/cluster/resources`, `/cluster/nextid`, `/cluster/tasks`, `/cluster/status` */
import { type Lab } from "../../context";
import { parameterError } from "../../errors";
import { oneOf, optional, vmIdParameter } from "../../params";
import { handler } from "../../router";
import { guestStatus } from "../../vm/status";
import { without } from "../../without";

/** PVE shows this many recent tasks of a node. */
const RECENT_TASKS = 25;

export const clusterResourceHandlers = [
  handler({
    method: "GET",
    path: "/cluster/resources",
    parameters: { type: optional(oneOf("vm", "storage", "node", "sdn")) },
    returns: "array",
    handle: async ({ lab, params: { type } }) => [
      ...(type === undefined || type === "vm" ? lab.guests.list().map((vmId) => guestSummary(lab, vmId)) : []),
      ...(type === undefined || type === "storage" ? await storageSummaries(lab) : []),
      ...(type === undefined || type === "node" ? nodeSummaries(lab) : []),
    ],
  }),
  handler({
    method: "GET",
    path: "/cluster/nextid",
    parameters: { vmid: optional(vmIdParameter) },
    returns: "integer",
    handle: ({ lab, params: { vmid } }) => {
      if (vmid !== undefined) {
        if (lab.guests.exists(vmid)) throw parameterError({ vmid: `VM ${vmid} already exists` });
        return String(vmid);
      }
      for (let id = 100; ; id++) if (!lab.guests.exists(id)) return String(id);
    },
  }),
  handler({
    method: "GET",
    path: "/cluster/tasks",
    parameters: {},
    returns: "array",
    handle: ({ lab }) =>
      lab.tasks
        .list()
        .slice(0, RECENT_TASKS)
        .map(({ exitstatus, tokenid, ...task }) => ({
          ...without(task, "status"),
          user: tokenid === undefined ? task.user : `${task.user}!${tokenid}`,
          saved: task.endtime === undefined ? "0" : "1",
          ...(exitstatus === undefined ? {} : { status: exitstatus }),
        })),
  }),
  handler({
    method: "GET",
    path: "/cluster/status",
    parameters: {},
    returns: "array",
    handle: ({ lab }) => {
      const { name, address } = lab.spec.node;
      const node = { type: "node", online: 1, level: "" };
      const others = lab.spec.otherNodes ?? [];
      if (others.length === 0) return [{ ...node, id: `node/${name}`, name, ip: address, local: 1, nodeid: 0 }];
      return [
        { id: "cluster", type: "cluster", name: "homelab", version: 1, quorate: 1, nodes: others.length + 1 },
        { ...node, id: `node/${name}`, name, ip: address, local: 1, nodeid: 1 },
        ...others.map((other, index) => ({ ...node, id: `node/${other}`, name: other, local: 0, nodeid: index + 2 })),
      ];
    },
  }),
];

/** A guest as `/cluster/resources` shows it. */
export function guestSummary(lab: Lab, vmId: number): Record<string, unknown> {
  const { vmid, name, status, cpus, maxmem, maxdisk, uptime, template, tags, lock } = guestStatus(lab, vmId);
  const pool = lab.pools.ofGuest(vmId);
  return {
    id: `qemu/${vmId}`,
    type: "qemu",
    vmid,
    node: lab.spec.node.name,
    name,
    status,
    template: template ?? 0,
    maxcpu: cpus,
    cpu: 0,
    mem: 0,
    maxmem,
    disk: 0,
    maxdisk,
    diskread: 0,
    diskwrite: 0,
    netin: 0,
    netout: 0,
    uptime,
    ...(tags === undefined ? {} : { tags }),
    ...(lock === undefined ? {} : { lock }),
    ...(pool === undefined ? {} : { pool: pool.poolid }),
  };
}

async function storageSummaries(lab: Lab): Promise<Record<string, unknown>[]> {
  const node = lab.spec.node.name;
  return await Promise.all(
    lab.storages.list().map(async (definition) => ({
      id: `storage/${node}/${definition.storage}`,
      type: "storage",
      storage: definition.storage,
      node,
      status: definition.disable === true ? "unknown" : "available",
      content: definition.content.join(","),
      plugintype: definition.type,
      shared: definition.shared === true ? 1 : 0,
      disk: await lab.volumes.usedBytes(definition),
      maxdisk: lab.storages.totalBytes(definition),
    })),
  );
}

/** All nodes, the one with the guests first. Memory that guests use is not told here. */
export function nodeSummaries(lab: Lab): Record<string, unknown>[] {
  const { name, cores, memoryBytes } = lab.spec.node;
  return [name, ...(lab.spec.otherNodes ?? [])].map((node) => ({
    id: `node/${node}`,
    type: "node",
    node,
    status: "online",
    level: "",
    maxcpu: cores,
    cpu: 0,
    maxmem: memoryBytes,
    mem: 0,
    uptime: lab.uptime(),
  }));
}
