/**
 * Who may do what where, as PVE decides it: roles on paths, the deepest entry on the way wins, pools hand their roles to their
 * members, and a separated token has no more than its user.
 *
 * Source: pve-access-control `PVE::AccessControl::roles`, `PVE::RPCEnvironment` `$compile_acl_path`, `permissions`.
 */
import { type Privilege, PRIVILEGES } from "../../pve/access/privileges";
import { ApiError } from "../errors";
import { type Pool } from "../pools";
import { type LabSpec } from "../spec";

/** Roles, and who has them where. */
export type AccessRules = NonNullable<LabSpec["access"]>;

/** Privileges on one path; the value tells whether they reach the paths below. */
export type Permissions = ReadonlyMap<Privilege, boolean>;

/** Who may everything everywhere; only by this name, and by tokens of it that are not separated. */
const SUPERUSER = "root@pam";
const NO_ACCESS = "NoAccess";

/** Paths that PVE shows of everybody who has something on them. Source: `get_effective_permissions`. */
const SHOWN_PATHS = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

/** PVE's 403. Source: `PVE::Exception::raise_perm_exc`. */
export function permissionDenied(what?: string): ApiError {
  return new ApiError(403, `Permission check failed${what === undefined ? "" : ` (${what})`}`);
}

/** The rules of one cluster. */
export class AccessControl {
  constructor(
    private readonly rules: AccessRules | undefined,
    private readonly pools: { list(): readonly Pool[] },
  ) {}

  /** What a user (`name@realm`) or token (`name@realm!token`) may on a path. */
  permissions(who: string, path: string): Permissions {
    if (who === SUPERUSER) return new Map(PRIVILEGES.map((privilege) => [privilege, true]));
    const user = userOf(who);
    if (user === who) return this.privilegesOf(this.rolesOn(who, path));
    const ofUser = this.permissions(user, path);
    if (this.rules?.separatedTokens.includes(who) !== true) return ofUser;
    const own = this.privilegesOf(this.rolesOn(who, path));
    return new Map(
      [...own].flatMap(([privilege, propagates]) => {
        const user = ofUser.get(privilege);
        return user === undefined ? [] : [[privilege, propagates && user] as const];
      }),
    );
  }

  /** All paths on which there is something to say, without those on which nothing is allowed. */
  effective(who: string): Record<string, Permissions> {
    const members = this.pools
      .list()
      .flatMap(({ vms, storages }) => [...vms.map((id) => `/vms/${id}`), ...storages.map((id) => `/storage/${id}`)]);
    const paths = new Set([...SHOWN_PATHS, ...(this.rules?.acl ?? []).map(({ path }) => path), ...members]);
    const entries = [...paths].map((path) => [path, this.permissions(who, path)] as const);
    return Object.fromEntries(entries.filter(([, granted]) => granted.size > 0));
  }

  /** Roles by path, and those that a pool gives its members: only where no NoAccess stands, and never to paths below. */
  private rolesOn(who: string, path: string): ReadonlyMap<string, boolean> {
    const roles = new Map(this.rolesByPath(who, path));
    for (const { poolid, vms, storages } of this.pools.list()) {
      const isMember = vms.some((id) => path === `/vms/${id}`) || storages.some((id) => path === `/storage/${id}`);
      if (!isMember || roles.has(NO_ACCESS)) continue;
      const ofPool = this.rolesByPath(who, `/pool/${poolid}`);
      if (ofPool.has(NO_ACCESS)) return new Map([[NO_ACCESS, false]]);
      for (const role of ofPool.keys()) if (!roles.has(role)) roles.set(role, false);
    }
    return roles;
  }

  /** The roles of the deepest path that has an entry; entries above it no longer count. */
  private rolesByPath(who: string, path: string): ReadonlyMap<string, boolean> {
    let roles = new Map<string, boolean>();
    for (const step of stepsTo(path)) {
      const found = (this.rules?.acl ?? [])
        .filter((entry) => entry.path === step && entry.who === who && (step === path || entry.propagate))
        .map(({ role, propagate }) => [role, propagate] as const);
      if (found.length > 0) roles = new Map(found);
    }
    return roles.has(NO_ACCESS) ? new Map([[NO_ACCESS, roles.get(NO_ACCESS) === true]]) : roles;
  }

  private privilegesOf(roles: ReadonlyMap<string, boolean>): Permissions {
    const granted = new Map<Privilege, boolean>();
    for (const [role, propagates] of roles) {
      const privileges = role === "Administrator" ? PRIVILEGES : (this.rules?.roles[role] ?? []);
      for (const privilege of privileges) granted.set(privilege, granted.get(privilege) === true || propagates);
    }
    return granted;
  }
}

/** What one caller may. */
export class Access {
  constructor(
    private readonly control: AccessControl,
    /** `root@pam!lab`. */
    readonly caller: string,
  ) {}

  /** Whether the caller has every one of these privileges. */
  has(path: string, ...privileges: readonly Privilege[]): boolean {
    const granted = this.control.permissions(this.caller, path);
    return privileges.every((privilege) => granted.has(privilege));
  }

  hasAny(path: string, ...privileges: readonly Privilege[]): boolean {
    const granted = this.control.permissions(this.caller, path);
    return privileges.some((privilege) => granted.has(privilege));
  }

  /** @throws ApiError 403 that names the first missing privilege. */
  require(path: string, ...privileges: readonly Privilege[]): void {
    for (const privilege of privileges) if (!this.has(path, privilege)) throw permissionDenied(`${path}, ${privilege}`);
  }

  /** @throws ApiError 403 that names all of them. */
  requireAny(path: string, ...privileges: readonly Privilege[]): void {
    if (!this.hasAny(path, ...privileges)) throw permissionDenied(`${path}, ${privileges.join("|")}`);
  }

  /** Right to hand an object to a pool or take it out. Source: `check_perm_modify`. */
  requireToModify(path: string): void {
    const kinds: readonly (readonly [RegExp, Privilege])[] = [
      [/^\/storage\/.+$/, "Datastore.Allocate"],
      [/^\/vms\/.+$/, "VM.Allocate"],
      [/^\/pool\/.+$/, "Pool.Allocate"],
    ];
    const own = kinds.filter(([pattern]) => pattern.test(path)).map(([, privilege]) => privilege);
    this.requireAny(path, "Permissions.Modify", ...own);
  }

  /**
   * Whether a task is the caller's: a token's tasks are its own and its user's, a user's own tasks are not its tokens'.
   * Source: pve-manager `PVE::API2::Tasks` `$check_task_user`.
   */
  owns(task: { readonly user: string; readonly tokenid?: string }): boolean {
    const name = task.tokenid === undefined ? task.user : `${task.user}!${task.tokenid}`;
    return this.caller === name || this.caller === task.user;
  }

  permissions(path: string, who = this.caller): Permissions {
    return this.control.permissions(who, path);
  }

  effective(who = this.caller): Record<string, Permissions> {
    return this.control.effective(who);
  }
}

/** The user that a token belongs to; of a user itself. */
export function userOf(who: string): string {
  return who.split("!")[0] ?? who;
}

/** `/`, `/vms`, `/vms/200`. */
function stepsTo(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return ["/", ...parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`)];
}
