/** What a call asks for before its parameters are looked at, in the form of PVE's API schema (`permissions` of each method). */
import { type Privilege } from "../../pve/access/privileges";
import { type RawParameters } from "../params";
import { type Access, permissionDenied } from "./access-control";

/** One test, written as in the schema, so that the conformance test can compare it. */
export type PermissionCheck =
  | readonly ["perm", string, readonly Privilege[]]
  | readonly ["perm", string, readonly Privilege[], "any", 1]
  | readonly ["and" | "or", ...PermissionCheck[]];

/** Who may call: everybody with a credential, the rest is checked inside; or who passes the test. */
export type PermissionRule = { readonly user: "all" } | { readonly check: PermissionCheck };

/** Everybody; what the answer holds or the call does is checked in its code. */
export const EVERYBODY: PermissionRule = { user: "all" };

/** All of these privileges on a path, in which `{name}` stands for a parameter. */
export function all(path: string, ...privileges: readonly Privilege[]): PermissionRule & { check: PermissionCheck } {
  return { check: ["perm", path, privileges] };
}

/** One of these privileges. */
export function any(path: string, ...privileges: readonly Privilege[]): PermissionRule & { check: PermissionCheck } {
  return { check: ["perm", path, privileges, "any", 1] };
}

/** @throws ApiError 403. Source: `PVE::RPCEnvironment::check_api2_permissions`. */
export function checkRule(rule: PermissionRule, access: Access, parameters: RawParameters): void {
  if ("check" in rule) run(rule.check, access, parameters);
}

function run(check: PermissionCheck, access: Access, parameters: RawParameters): void {
  if (check[0] === "perm") {
    const [, template, privileges, one] = check;
    const path = template.replace(/\{(\w+)\}/g, (_, name: string) => String(parameters[name] ?? ""));
    if (one === undefined) access.require(path, ...privileges);
    else access.requireAny(path, ...privileges);
    return;
  }
  const [kind, ...tests] = check;
  if (kind === "and") for (const test of tests) run(test, access, parameters);
  else if (!tests.some((test) => passes(test, access, parameters))) throw permissionDenied();
}

function passes(check: PermissionCheck, access: Access, parameters: RawParameters): boolean {
  try {
    run(check, access, parameters);
    return true;
  } catch {
    return false;
  }
}
