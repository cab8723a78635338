/** Compares what a drill called with what it may call. */
import { DRILL_CALLS } from "../../provider/drill-calls";
import { parseUpid } from "../../pve/upid";
import type { LoggedRequest } from "./rehearsal-lab";

/** The calls that change something and are not on the list, or not tied to the drill's VMID. */
export function forbiddenCalls(requests: readonly LoggedRequest[], drillVmId: number): string[] {
  return requests
    .filter(({ method }) => method !== "GET")
    .filter((request) => !DRILL_CALLS.some((allowed) => isAllowed(request, allowed, drillVmId)))
    .map(({ method, path, status, params }) => `${method} ${path} (${status}) ${JSON.stringify(params)}`);
}

function isAllowed(request: LoggedRequest, allowed: (typeof DRILL_CALLS)[number], drillVmId: number): boolean {
  if (request.method !== allowed.method) return false;
  const pattern = allowed.path.replace(/\{(\w+)\}/g, (_, name: string) => `(?<${name}>[^/]+)`);
  const match = new RegExp(`^(?:/api2/json)?${pattern}/?$`).exec(request.path);
  if (match === null) return false;
  switch (allowed.vmIdIn) {
    case "path":
      return Number(match.groups?.["vmid"]) === drillVmId;
    case "parameter":
      return Number(request.params["vmid"]) === drillVmId;
    case "upid":
      return Number(parseUpid(decodeURIComponent(match.groups?.["upid"] ?? "")).id) === drillVmId;
    default:
      return allowed.vmIdIn satisfies never;
  }
}
