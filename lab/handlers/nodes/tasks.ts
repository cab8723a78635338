/** `/nodes/{node}/tasks` */
import { checkNode } from "../../context";
import { boolean, integer, nodeParameter, oneOf, optional, splitList, string, vmIdParameter } from "../../params";
import { handler, Page } from "../../router";

const upid = string();
const DEFAULT_LIMIT = 50;

export const taskHandlers = [
  handler({
    method: "GET",
    path: "/nodes/{node}/tasks",
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
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const { source = "archive", start = 0, limit = DEFAULT_LIMIT } = params;
      const statuses = splitList(params.statusfilter ?? "");
      const found = lab.tasks.list().filter((task) => {
        const outcome = outcomeOf(task.exitstatus);
        return (
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
    parameters: { node: nodeParameter, upid },
    returns: "null",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      lab.tasks.stop(params.upid);
      return null;
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/tasks/{upid}",
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
    parameters: { node: nodeParameter, upid },
    returns: "object",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      return lab.tasks.status(params.upid);
    },
  }),
  handler({
    method: "GET",
    path: "/nodes/{node}/tasks/{upid}/log",
    parameters: { node: nodeParameter, upid, limit: optional(integer(0)), start: optional(integer(0)) },
    unsupported: ["download"],
    returns: "array",
    handle: ({ lab, params }) => {
      checkNode(lab, params.node);
      const { lines, total } = lab.tasks.log(params.upid, params.start ?? 0, params.limit ?? DEFAULT_LIMIT);
      return new Page(lines, total);
    },
  }),
];

/** PVE's groups of outcomes for `statusfilter`. */
function outcomeOf(exitStatus: string | undefined): string {
  if (exitStatus === undefined) return "";
  if (exitStatus === "OK") return "ok";
  if (/^WARNINGS: \d+$/.test(exitStatus)) return "warning";
  return exitStatus === "unexpected status" ? "unknown" : "error";
}
