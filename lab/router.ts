/** Which handler answers which method and path. Paths are written as in the official schema. */
import { type Lab } from "./context";
import { ApiError } from "./errors";
import { type Access } from "./privileges/access-control";
import { checkRule, type PermissionRule } from "./privileges/permission-check";
import {
  checkParameters,
  declarationOf,
  type ParameterMap,
  type ParameterValue,
  type RawParameters,
  type Values,
} from "./params";

export const METHODS = ["GET", "POST", "PUT", "DELETE"] as const;
export type Method = (typeof METHODS)[number];

/** Type of the answer's `data`, as the official schema names it. */
export type ReturnType = "null" | "string" | "integer" | "object" | "array" | "any";

/** Who calls: PVE's names of an API token. */
export interface Caller {
  /** `root@pam!lab`: what UPIDs carry. */
  readonly name: string;
}

/** One request to a handler. */
export interface Call<M extends ParameterMap = ParameterMap> {
  readonly lab: Lab;
  readonly caller: Caller;
  /** What the caller may. */
  readonly access: Access;
  readonly params: Values<M>;
  /** Every value that was sent, also those of indexed parameters (`net0`, `scsi1`). */
  readonly all: Readonly<Record<string, ParameterValue>>;
}

/** Data with the `total` that some lists carry beside it. */
export class Page {
  constructor(
    readonly data: readonly unknown[],
    readonly total: number,
  ) {}
}

/** One emulated API call. */
export interface Handler<M extends ParameterMap = ParameterMap> {
  readonly method: Method;
  readonly path: string;
  readonly parameters: M;
  /** Parameters that PVE knows and the lab does not emulate: using one is answered with 501, never ignored. */
  readonly unsupported: readonly string[];
  readonly returns: ReturnType;
  /** Who may call, as the official schema says. */
  readonly permissions: PermissionRule;
  /** What PVE's code checks beyond its schema. @throws ApiError 403 */
  readonly authorize?: (call: Call<M>) => void;
  readonly handle: (call: Call<M>) => unknown;
}

/** Declares a handler; the parameter map gives its call its types. */
export function handler<const M extends ParameterMap>(
  definition: Omit<Handler<M>, "unsupported" | "authorize" | "handle"> & {
    unsupported?: readonly string[];
    authorize?: (call: Call<M>) => void;
    handle: (call: Call<M>) => unknown;
  },
): Handler {
  // A handler only ever gets values that `checkParameters` made from its own map.
  return { unsupported: [], ...definition } as unknown as Handler;
}

interface Route {
  readonly handler: Handler;
  readonly segments: readonly string[];
}

/** Finds handlers by method and path. */
export class Router {
  private readonly routes: readonly Route[];

  constructor(handlers: readonly Handler[]) {
    this.routes = handlers.map((one) => ({
      handler: one,
      segments: one.path.split("/").filter((part) => part !== ""),
    }));
  }

  /**
   * The handler for a path (already unescaped, without `/api2/json`) and the values in the path.
   * PVE drops empty fragments, so doubled and trailing slashes do not matter (PVE::RESTHandler `find_handler`).
   * @throws ApiError 501 where PVE knows no such method, or the lab has no such handler.
   */
  find(method: Method, path: string): { handler: Handler; pathParameters: Record<string, string> } {
    const parts = path.split("/").filter((part) => part !== "");
    let best: { handler: Handler; pathParameters: Record<string, string>; literals: number } | undefined;
    for (const { handler: candidate, segments } of this.routes) {
      if (candidate.method !== method) continue;
      const match = matchSegments(segments, parts);
      if (match !== undefined && (best === undefined || match.literals > best.literals))
        best = { handler: candidate, ...match };
    }
    if (best === undefined) throw new ApiError(501, `Method '${method} /${parts.join("/")}' not implemented`);
    return best;
  }
}

/** `{volume}` at the end takes the rest of the path, slashes included (`fragmentDelimiter ''` in PVE). */
function matchSegments(
  segments: readonly string[],
  parts: readonly string[],
): { pathParameters: Record<string, string>; literals: number } | undefined {
  const greedy = segments.at(-1) === "{volume}";
  if (greedy ? parts.length < segments.length : parts.length !== segments.length) return undefined;
  const pathParameters: Record<string, string> = {};
  let literals = 0;
  for (const [index, segment] of segments.entries()) {
    const name = /^\{(.+)\}$/.exec(segment)?.[1];
    const part = greedy && index === segments.length - 1 ? parts.slice(index).join("/") : (parts[index] ?? "");
    if (name !== undefined) pathParameters[name] = part;
    else if (segment === part) literals++;
    else return undefined;
  }
  return { pathParameters, literals };
}

/** A call that is to be answered. */
export interface Request {
  readonly lab: Lab;
  readonly caller: Caller;
  readonly access: Access;
  readonly sent: RawParameters;
  readonly pathParameters: Readonly<Record<string, string>>;
}

/** Checks permissions and parameters and runs the handler. */
export async function dispatch(one: Handler, request: Request): Promise<unknown> {
  return await one.handle(admit(one, request));
}

/**
 * Everything that is checked before a call has an effect. Values in the path win over the same names sent. Permissions come
 * before parameters, as in PVE.
 * @throws ApiError 403, 400 or 501.
 */
export function admit(one: Handler, request: Request): Call {
  const raw: RawParameters = { ...request.sent, ...request.pathParameters };
  checkRule(one.permissions, request.access, raw);
  const refused = Object.keys(raw).filter(
    (name) => declarationOf(one.parameters, name) === undefined && isUnsupported(one.unsupported, name),
  );
  if (refused.length > 0)
    throw new ApiError(
      501,
      `The lab does not emulate parameter '${refused.join("', '")}' of '${one.method} ${one.path}'.`,
    );
  const all = checkParameters(one.parameters, raw);
  const call = { lab: request.lab, caller: request.caller, access: request.access, params: all, all };
  one.authorize?.(call);
  return call;
}

function isUnsupported(unsupported: readonly string[], name: string): boolean {
  return unsupported.includes(name) || unsupported.includes(name.replace(/\d+$/, "[n]"));
}
