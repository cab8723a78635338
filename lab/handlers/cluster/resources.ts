/** `/cluster/resources`, `/cluster/nextid`, `/cluster/tasks`, `/cluster/status` */
import { type Lab } from "../../context";
import { parameterError } from "../../errors";
import { oneOf, optional, vmIdParameter } from "../../params";
import { all, EVERYBODY } from "../../privileges/permission-check";
import { type Access } from "../../privileges/access-control";
import { handler } from "../../router";
import { guestStatus } from "../../vm/status";
import { without } from "../../without";

/** PVE shows this many recent tasks of a node. */
const RECENT_TASKS = 25;

export const clusterResourceHandlers = [
  handler({
    method: "GET",
    path: "/cluster/resources",
    permissions: EVERYBODY,
    parameters: { type: optional(oneOf("vm", "storage", "node", "sdn")) },
    returns: "array",
    handle: async ({ lab, access, params: { type } }) => [
      ...(type === undefined || type === "vm" ? visibleGuests(lab, access) : []),
      ...(type === undefined || type === "storage" ? await storageSummaries(lab, access) : []),
      ...(type === undefined || type === "node" ? nodeSummaries(lab, access) : []),
    ],
  }),
  handler({
    method: "GET",
    path: "/cluster/nextid",
    permissions: EVERYBODY,
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
    permissions: EVERYBODY,
    parameters: {},
    returns: "array",
    handle: ({ lab, access }) =>
      lab.tasks
        .list()
        .filter((task) => access.has("/", "Sys.Audit") || access.owns(task))
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
    permissions: all("/", "Sys.Audit"),
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

function visibleGuests(lab: Lab, access: Access): Record<string, unknown>[] {
  const visible = lab.guests.list().filter((vmId) => access.has(`/vms/${vmId}`, "VM.Audit"));
  return visible.map((vmId) => guestSummary(lab, access, vmId));
}

/** A guest as `/cluster/resources` shows it. */
export function guestSummary(lab: Lab, access: Access, vmId: number): Record<string, unknown> {
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
    ...(pool !== undefined && access.has(`/pool/${pool.poolid}`, "Pool.Audit") ? { pool: pool.poolid } : {}),
  };
}

async function storageSummaries(lab: Lab, access: Access): Promise<Record<string, unknown>[]> {
  const node = lab.spec.node.name;
  const visible = lab.storages.list().filter(({ storage }) => access.has(`/storage/${storage}`, "Datastore.Audit"));
  return await Promise.all(
    visible.map(async (definition) => ({
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

/** All nodes, the one with the guests first; figures only of those that may be looked at. Memory that guests use is not told here. */
export function nodeSummaries(lab: Lab, access: Access): Record<string, unknown>[] {
  const { name, cores, memoryBytes } = lab.spec.node;
  return [name, ...(lab.spec.otherNodes ?? [])].map((node) => ({
    id: `node/${node}`,
    type: "node",
    node,
    status: "online",
    ...(access.has(`/nodes/${node}`, "Sys.Audit")
      ? { level: "", maxcpu: cores, cpu: 0, maxmem: memoryBytes, mem: 0, uptime: lab.uptime() }
      : {}),
  }));
}
