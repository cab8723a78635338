/** Asks the lab again what a run has asked, with other privileges, and tells what came of it. Changes nothing. */
import { handlers } from "../../../lab/handlers";
import { ApiError } from "../../../lab/errors";
import { type RawParameters } from "../../../lab/params";
import { Access, AccessControl, type AccessRules } from "../../../lab/privileges/access-control";
import { admit, dispatch, Page, Router, type Method } from "../../../lab/router";
import { type ApiLab } from "../api-lab";

/** One request as the lab's server logs it. */
export interface LoggedCall {
  readonly method: Method;
  readonly path: string;
  readonly params: RawParameters;
  readonly status: number;
  /** `user@realm!token`. */
  readonly user: string | null;
}

/** The calls of one caller, each once. */
export function callsOf(log: readonly LoggedCall[], caller: string): LoggedCall[] {
  const own = log.filter(({ user }) => user === caller);
  return [...new Map(own.map((call) => [JSON.stringify([call.method, call.path, call.params]), call])).values()];
}

const router = new Router(handlers);

/**
 * What a call comes to with these rules: its refusal, what a list shows, or neither. The effects of a call are left out, except
 * a backup, whose guests are checked in its task and which is only recorded here.
 */
export async function outcomeOf(api: ApiLab, rules: AccessRules, call: LoggedCall): Promise<string> {
  const caller = { name: call.user ?? "" };
  const access = new Access(new AccessControl(rules, api.lab.pools), caller.name);
  const { handler, pathParameters } = router.find(call.method, call.path);
  const sent = Object.fromEntries(
    // What the log leaves out is no matter of privileges.
    Object.entries(call.params).map(([name, value]) => [name, value === "[secret]" ? "x" : value]),
  );
  const request = { lab: api.lab, caller, access, sent, pathParameters };
  try {
    if (handler.path.endsWith("/vzdump")) return await outcomeOfTask(api, await dispatch(handler, request));
    if (call.method === "GET") return shown(await dispatch(handler, request));
    admit(handler, request);
    return "allowed";
  } catch (error) {
    // Everything else comes after the privileges.
    return error instanceof ApiError && error.status === 403 ? error.message : "allowed";
  }
}

async function outcomeOfTask(api: ApiLab, upid: unknown): Promise<string> {
  await api.lab.tasks.wait(String(upid));
  return api.lab.tasks.status(String(upid)).exitstatus ?? "";
}

/** The names in a list; figures differ from call to call. */
function shown(answer: unknown): string {
  const items: unknown = answer instanceof Page ? answer.data : answer;
  if (!Array.isArray(items)) return "allowed";
  const names = items.map(
    (item: Record<string, unknown>) => item["volid"] ?? item["id"] ?? item["iface"] ?? item["storage"],
  );
  return names.map(String).sort().join(" ");
}
