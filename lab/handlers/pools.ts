/** `/pools` */
import { all, EVERYBODY } from "../privileges/permission-check";
import { handler } from "../router";
import { boolean, oneOf, optional, splitList, string } from "../params";
import { type Lab } from "../context";
import { type Pool } from "../pools";
import { type Access } from "../privileges/access-control";
import { guestSummary } from "./cluster/resources";

const poolId = string();

export const poolHandlers = [
  handler({
    method: "GET",
    path: "/pools",
    permissions: EVERYBODY,
    parameters: { poolid: optional(poolId), type: optional(oneOf("qemu", "lxc", "storage")) },
    returns: "array",
    authorize: ({ access, params }) => {
      if (params.poolid !== undefined) access.require(`/pool/${params.poolid}`, "Pool.Audit");
    },
    handle: ({ lab, access, params }) => {
      if (params.poolid === undefined) {
        const visible = lab.pools.list().filter(({ poolid }) => access.has(`/pool/${poolid}`, "Pool.Audit"));
        return visible.map(({ poolid, comment }) => ({ poolid, comment }));
      }
      const pool = existingPool(lab, params.poolid);
      return [{ poolid: pool.poolid, comment: pool.comment, members: members(lab, access, pool, params.type) }];
    },
  }),
  handler({
    method: "POST",
    path: "/pools",
    permissions: all("/pool/{poolid}", "Pool.Allocate"),
    parameters: { poolid: poolId, comment: optional(string()) },
    returns: "null",
    handle: ({ lab, params: { poolid, comment } }) => {
      if (lab.pools.find(poolid) !== undefined) throw new Error(`create pool failed: pool '${poolid}' already exists`);
      lab.pools.put({ poolid, vms: [], storages: [], ...(comment === undefined ? {} : { comment }) });
      return null;
    },
  }),
  handler({
    method: "PUT",
    path: "/pools",
    permissions: all("/pool/{poolid}", "Pool.Allocate"),
    parameters: {
      poolid: poolId,
      "allow-move": optional(boolean()),
      comment: optional(string()),
      delete: optional(boolean()),
      storage: optional(string()),
      vms: optional(string()),
    },
    returns: "null",
    authorize: ({ access, params }) => {
      for (const vmId of splitList(params.vms ?? "")) access.requireToModify(`/vms/${vmId}`);
      for (const storage of splitList(params.storage ?? "")) access.requireToModify(`/storage/${storage}`);
    },
    handle: ({ lab, params }) => {
      const pool = existingPool(lab, params.poolid);
      const vms = splitList(params.vms ?? "").map(Number);
      const storages = splitList(params.storage ?? "");
      if (params.delete === true) {
        lab.pools.put({
          ...pool,
          vms: pool.vms.filter((id) => !vms.includes(id)),
          storages: pool.storages.filter((id) => !storages.includes(id)),
        });
        return null;
      }
      for (const vmId of vms) {
        const owner = lab.pools.ofGuest(vmId);
        if (owner === undefined) continue;
        if (owner.poolid === pool.poolid) throw new Error(`update pools failed: VM ${vmId} is already a pool member`);
        if (params["allow-move"] !== true)
          throw new Error(
            `update pools failed: VM ${vmId} belongs already to pool '${owner.poolid}' and 'allow-move' is not set`,
          );
        lab.pools.forgetGuest(vmId);
      }
      const latest = existingPool(lab, params.poolid);
      lab.pools.put({
        ...latest,
        ...(params.comment === undefined ? {} : { comment: params.comment }),
        vms: [...new Set([...latest.vms, ...vms])],
        storages: [...new Set([...latest.storages, ...storages])],
      });
      return null;
    },
  }),
  handler({
    method: "DELETE",
    path: "/pools",
    permissions: all("/pool/{poolid}", "Pool.Allocate"),
    parameters: { poolid: poolId },
    returns: "null",
    handle: ({ lab, params }) => {
      const pool = existingPool(lab, params.poolid);
      if (pool.vms.some((vmId) => lab.guests.exists(vmId)) || pool.storages.length > 0)
        throw new Error(`delete pool failed: pool '${pool.poolid}' is not empty`);
      lab.pools.remove(pool.poolid);
      lab.acl.forget(`/pool/${pool.poolid}`);
      return null;
    },
  }),
];

function existingPool(lab: Lab, id: string): Pool {
  const pool = lab.pools.find(id);
  if (pool === undefined) throw new Error(`pool '${id}' does not exist`);
  return pool;
}

function members(lab: Lab, access: Access, pool: Pool, type: string | undefined): unknown[] {
  const guests = pool.vms.filter((vmId) => lab.guests.exists(vmId)).map((vmId) => guestSummary(lab, access, vmId));
  const storages = pool.storages.map((storage) => ({
    id: `storage/${lab.spec.node.name}/${storage}`,
    node: lab.spec.node.name,
    storage,
    type: "storage",
  }));
  if (type === "storage") return storages;
  return type === "qemu" ? guests : type === "lxc" ? [] : [...guests, ...storages];
}
