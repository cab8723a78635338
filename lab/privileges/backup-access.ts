/** What making backups and declaring jobs asks for. Source: pve-manager `PVE::API2::VZDump`, `PVE::API2::Backup`. */
import { type Access } from "./access-control";

type Options = Readonly<Record<string, unknown>>;

/** PVE's storage of backups that name none. */
const DEFAULT_STORAGE = "local";

/** A backup at once. @throws ApiError 403 */
export function requireBackup(access: Access, options: Options): void {
  requireCommon(access, options);
  const storage = `/storage/${storageOf(options)}`;
  if (options["prune-backups"] !== undefined) access.require(storage, "Datastore.Allocate");
  if (options["storage"] !== undefined) access.require(storage, "Datastore.AllocateSpace");
}

/** A new job: it runs as root, so its storage must be the caller's. @throws ApiError 403 */
export function requireJobCreation(access: Access, options: Options): void {
  requireCommon(access, options);
  access.require(`/storage/${storageOf(options)}`, "Datastore.Allocate");
}

/** @throws ApiError 403 */
export function requireJobChange(access: Access, options: Options, deleted: readonly string[]): void {
  requireCommon(access, { ...Object.fromEntries(deleted.map((name) => [name, true])), ...options });
  if (options["storage"] !== undefined || deleted.includes("storage"))
    access.require(`/storage/${storageOf(options)}`, "Datastore.Allocate");
}

function requireCommon(access: Access, options: Options): void {
  if (["bwlimit", "ionice", "performance"].some((name) => options[name] !== undefined))
    access.require("/", "Sys.Modify");
}

function storageOf(options: Options): string {
  return typeof options["storage"] === "string" ? options["storage"] : DEFAULT_STORAGE;
}
