/** `/nodes/{node}/tasks` */
import { type Privilege } from "../../../pve/access/privileges";
import { checkNode, type Lab } from "../../context";
import { type Access } from "../../privileges/access-control";
import { boolean, integer, nodeParameter, oneOf, optional, splitList, string, vmIdParameter } from "../../params";
import { EVERYBODY } from "../../privileges/permission-check";
import { handler, Page } from "../../router";

const upid = string();
const DEFAULT_LIMIT = 50;

export const taskHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/tasks",
    permissions: EVERYBODY,
    parameters: {
      node: nodeParameter,
      errors: optional(boolean()),
      limit: optional(integer(0)),
      since: optional(integer()),
      source: optional(oneOf("archive", "active", "all")),
      start: optional(integer(0)),
      statusfilter: optional(string()),
      typefilter: optional(string()),
      until: optional(integer()),
      userfilter: optional(string()),
      vmid: optional(vmIdParameter),
    },
    returns: "array",
    handle: ({ lab, access, params }) => {
      checkNode(lab, params.node);
      const auditor = access.has(`/nodes/${params.node}`, "Sys.Audit");
      const { source = "archive", start = 0, limit = DEFAULT_LIMIT } = params;
      const statuses = splitList(params.statusfilter ?? "");
      const found = lab.tasks.list().filter((task) => {
        const outcome = outcomeOf(task.exitstatus);
        return (
          (auditor || access.owns(task)) &&
          (source === "all" || (task.status === "running") === (source === "active")) &&
          (params.errors !== true || outcome === "error" || outcome === "unknown") &&
          (statuses.length === 0 || statuses.includes(outcome)) &&
          (params.typefilter === undefined || task.type === params.typefilter) &&
          (params.vmid === undefined || task.id === String(params.vmid)) &&
          (params.since === undefined || task.starttime >= params.since) &&
          (params.until === undefined || task.starttime <= params.until) &&
          (params.userfilter === undefined || task.user.includes(params.userfilter))
        );
      });
      const page = found.slice(start, limit === 0 ? undefined : start + limit);
      return new Page(
        page.map(({ status, exitstatus, ...task }) => ({
          ...task,
          ...(status === "running" ? { status: "RUNNING" } : exitstatus === undefined ? {} : { status: exitstatus }),
        })),
        found.length,
      );
    },
  }),
  handler({
    method: "DELETE",
    path: "/nodes/{node}/tasks/{upid}",
    permissions: EVERYBODY,
    parameters: { node: nodeParameter, upid },
    returns: "null",
    authorize: (call) => requireOwn(call, "Sys.Modify"),
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      lab.tasks.stop(params.upid);
      return null;
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/tasks/{upid}",
    permissions: EVERYBODY,
    parameters: { node: nodeParameter, upid },
    returns: "array",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      lab.tasks.status(params.upid);
      return [{ name: "log" }, { name: "status" }];
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/tasks/{upid}/status",
    permissions: EVERYBODY,
    parameters: { node: nodeParameter, upid },
    returns: "object",
    authorize: (call) => requireOwn(call, "Sys.Audit"),
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      return lab.tasks.status(params.upid);
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/tasks/{upid}/log",
    permissions: EVERYBODY,
    parameters: { node: nodeParameter, upid, limit: optional(integer(0)), start: optional(integer(0)) },
    unsupported: ["download"],
    returns: "array",
    authorize: (call) => requireOwn(call, "Sys.Audit"),
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const { lines, total } = lab.tasks.log(params.upid, params.start ?? 0, params.limit ?? DEFAULT_LIMIT);
      return new Page(lines, total);
    },
  }),
];

/** @throws ApiError 403 for somebody else's task without this privilege on the node. */
function requireOwn(
  { lab, access, params }: { lab: Lab; access: Access; params: { node: string; upid: string } },
  privilege: Privilege,
): void {
  if (!access.owns(lab.tasks.status(params.upid))) access.require(`/nodes/${params.node}`, privilege);
}

/** PVE's groups of outcomes for `statusfilter`. */
function outcomeOf(exitStatus: string | undefined): string {
  if (exitStatus === undefined) return "";
  if (exitStatus === "OK") return "ok";
  if (/^WARNINGS: \d+$/.test(exitStatus)) return "warning";
  return exitStatus === "unexpected status" ? "unknown" : "error";
}
