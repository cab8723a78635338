/** From `vzdump` parameters to a backup task: what `POST …/vzdump` and the scheduler share (PVE::API2::VZDump). */
import { type VzdumpCompression, type VzdumpMode } from "./backup/types";
import { type Lab } from "./context";
import { messageOf, parameterError } from "./errors";
import {
  boolean,
  integer,
  oneOf,
  optional,
  splitList,
  storageParameter,
  string,
  type ParameterMap,
  type ParameterValue,
} from "./params";
import { type Access } from "./privileges/access-control";
import { parseRetention } from "./retention";

const vmIdList = string({
  format: (text) =>
    splitList(text).every((id) => /^[1-9]\d{2,8}$/.test(id))
      ? undefined
      : "invalid format - value does not look like a valid VM ID",
});

/** A parameter of the form `keep-last=3,keep-daily=7`. */
export const pruneBackupsParameter = string({ format: (text) => retentionProblem(text) });

/** Parameters of a backup that the lab follows. */
export const vzdumpParameters = {
  all: optional(boolean()),
  bwlimit: optional(integer(0)),
  compress: optional(oneOf("0", "1", "gzip", "lzo", "zstd")),
  exclude: optional(vmIdList),
  lockwait: optional(integer(0)),
  mode: optional(oneOf("snapshot", "suspend", "stop")),
  "notes-template": optional(string({ maxLength: 1024 })),
  pool: optional(string()),
  protected: optional(boolean()),
  "prune-backups": optional(pruneBackupsParameter),
  quiet: optional(boolean()),
  remove: optional(boolean()),
  stopwait: optional(integer(0)),
  storage: optional(storageParameter),
  vmid: optional(vmIdList),
  zstd: optional(integer()),
} satisfies ParameterMap;

/** Parameters of a backup that PVE has and the lab does not follow. */
export const unsupportedVzdump: readonly string[] = [
  "dumpdir",
  "exclude-path",
  "fleecing",
  "ionice",
  "mailnotification",
  "mailto",
  "maxfiles",
  "notification-mode",
  "pbs-change-detection-mode",
  "performance",
  "pigz",
  "script",
  "stdexcludes",
  "stop",
  "tmpdir",
];

function retentionProblem(text: string): string | undefined {
  try {
    parseRetention(text);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Which guests are meant may be said in one way only. @throws ApiError 400 with PVE's texts. */
export function checkSelection(options: Readonly<Record<string, unknown>>): void {
  const { vmid, all, exclude, pool } = options;
  if (vmid === undefined && all !== true && pool === undefined)
    throw parameterError({ vmid: "property is missing and it is not optional" });
  for (const [name, value] of Object.entries({ all: all === true ? true : undefined, exclude, pool }))
    if (vmid !== undefined && value !== undefined)
      throw parameterError({ [name]: "option conflicts with option 'vmid'" });
  if (all === true && pool !== undefined) throw parameterError({ pool: "option conflicts with option 'all'" });
}

/**
 * The guests that a backup is for, unknown ones included: PVE lets the task fail for them. A job of another node has none here.
 * Source: `PVE::VZDump::get_included_guests`.
 */
export function selectGuests(lab: Lab, options: Readonly<Record<string, unknown>>): number[] {
  const isElsewhere = typeof options["node"] === "string" && options["node"] !== lab.spec.node.name;
  return namedGuests(lab, options).filter((vmId) => !isElsewhere || !lab.guests.exists(vmId));
}

function namedGuests(lab: Lab, options: Readonly<Record<string, unknown>>): number[] {
  if (typeof options["vmid"] === "string")
    return [...new Set(splitList(options["vmid"]).map(Number))].sort((a, b) => a - b);
  const excluded = new Set(typeof options["exclude"] === "string" ? splitList(options["exclude"]).map(Number) : []);
  const members =
    typeof options["pool"] === "string" ? (lab.pools.find(options["pool"])?.vms ?? []) : lab.guests.list();
  return members.filter((vmId) => !excluded.has(vmId)).sort((a, b) => a - b);
}

/** Whose backup it is. Without `access` it is the node's own, which may everything. */
export interface BackupOwner {
  readonly user: string;
  readonly access?: Access;
}

/** Starts the task. Gives `OK` in place of a UPID when no guest is meant, as PVE does. */
export function startVzdump(
  lab: Lab,
  options: Readonly<Record<string, ParameterValue>>,
  { user, access }: BackupOwner,
): string {
  const vmIds = selectGuests(lab, options);
  if (vmIds.length === 0) return "OK";
  const text = (name: string): string | undefined => (typeof options[name] === "string" ? options[name] : undefined);
  const count = (name: string): number | undefined => (typeof options[name] === "number" ? options[name] : undefined);
  return lab.tasks.start({
    type: "vzdump",
    id: vmIds.length === 1 ? String(vmIds[0]) : "",
    user,
    work: async (context) => {
      const storage = text("storage") ?? "local";
      const definition = backupStorage(lab, storage);
      const dumpDir = lab.volumes.folderOf(definition, "backup");
      const prune = text("prune-backups");
      const storagePrune = definition["prune-backups"];
      await lab.backups.vzdump(
        {
          vmIds: permitted(lab, vmIds, options, access),
          commandLine: commandLine(vmIds, options),
          storage,
          dumpDir,
          dumpDirLabel: lab.storages.reportedPath(definition, dumpDir),
          mode: (text("mode") ?? "snapshot") as VzdumpMode,
          compress: (text("compress") ?? "0") as VzdumpCompression,
          zstdThreads: count("zstd"),
          pruneBackups: prune === undefined ? undefined : parseRetention(prune),
          storagePruneBackups: storagePrune === undefined ? undefined : parseRetention(storagePrune),
          remove: options["remove"] !== false,
          protected: options["protected"] === true,
          notesTemplate: text("notes-template"),
          bandwidthLimitKiB: count("bwlimit"),
          stopWaitMinutes: count("stopwait"),
          lockWaitMinutes: count("lockwait"),
          availableBytes: await lab.volumes.availableBytes(definition),
        },
        context,
      );
    },
  });
}

/**
 * Guests that the caller may back up: of `all` the others are left out, otherwise one of them ends the task.
 * Source: `PVE::VZDump::exec_backup`.
 */
function permitted(
  lab: Lab,
  vmIds: readonly number[],
  options: Readonly<Record<string, ParameterValue>>,
  access: Access | undefined,
): number[] {
  return vmIds.filter((vmId) => {
    if (access === undefined || !lab.guests.exists(vmId)) return true;
    if (options["all"] === true) return access.has(`/vms/${vmId}`, "VM.Backup");
    access.require(`/vms/${vmId}`, "VM.Backup");
    return true;
  });
}

function backupStorage(lab: Lab, storage: string): ReturnType<Lab["storages"]["get"]> {
  const definition = lab.storages.find(storage);
  if (definition === undefined)
    throw new Error(`could not get storage information for '${storage}': storage '${storage}' does not exist`);
  if (definition.disable === true)
    throw new Error(`could not get storage information for '${storage}': storage '${storage}' is disabled`);
  if (!definition.content.includes("backup"))
    throw new Error(`can't use storage '${storage}' for backups - wrong content type`);
  return definition;
}

/** As PVE logs it: guests first, then the options by name. */
function commandLine(vmIds: readonly number[], options: Readonly<Record<string, ParameterValue>>): string {
  const rest = Object.entries(options)
    .filter(([name]) => name !== "vmid" && Object.hasOwn(vzdumpParameters, name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => {
      const printed = typeof value === "boolean" ? (value ? "1" : "0") : String(value);
      return `--${name} ${/^[\w=,.-]+$/.test(printed) ? printed : `'${printed}'`}`;
    });
  return ["vzdump", ...(options["vmid"] === undefined ? [] : vmIds.map(String)), ...rest].join(" ");
}
