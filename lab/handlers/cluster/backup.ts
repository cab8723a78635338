/** `/cluster/backup` and `/cluster/backup-info` */
import { isCdrom } from "../../../pve/vm-config";
import { parsePropertyString } from "../../../pve/property-string";
import { type BackupJob } from "../../backup-jobs";
import { parseCalendarEvent } from "../../calendar-event";
import { type Lab } from "../../context";
import { messageOf, parameterError, ApiError } from "../../errors";
import { boolean, nodeParameter, optional, splitList, string, type ParameterValue } from "../../params";
import { all } from "../../privileges/permission-check";
import { requireJobChange, requireJobCreation } from "../../privileges/backup-access";
import { handler } from "../../router";
import { nextRun } from "../../scheduler";
import { isDriveKey, storedDrive } from "../../vm/drive";
import { checkSelection, selectGuests, unsupportedVzdump, vzdumpParameters } from "../../vzdump";
import { without } from "../../without";

const jobId = string({ maxLength: 50 });
const newJobId = string({
  format: (text) => (/^[a-z][a-z0-9_-]+$/i.test(text) ? undefined : "invalid configuration ID '" + text + "'"),
});
const schedule = string({
  maxLength: 128,
  format: (text) => {
    try {
      parseCalendarEvent(text);
      return undefined;
    } catch (error) {
      if (error instanceof ApiError) throw error;
      return `invalid format - ${messageOf(error)}`;
    }
  },
});

const jobParameters = {
  ...vzdumpParameters,
  comment: optional(string({ maxLength: 512 })),
  enabled: optional(boolean()),
  node: optional(nodeParameter),
  "repeat-missed": optional(boolean()),
  schedule: optional(schedule),
};
const unsupported = [...unsupportedVzdump, "dow", "starttime"];

export const clusterBackupHandlers = [
  handler({
    method: "GET",
    path: "/cluster/backup",
    permissions: all("/", "Sys.Audit"),
    parameters: {},
    returns: "array",
    handle: ({ lab }) =>
      lab.jobs.list().map((job) => {
        const next = nextRun(job, lab.now());
        return { ...answer(job), ...(next === undefined ? {} : { "next-run": Math.floor(next.getTime() / 1000) }) };
      }),
  }),
  handler({
    method: "POST",
    path: "/cluster/backup",
    permissions: all("/", "Sys.Modify"),
    parameters: { ...jobParameters, id: optional(newJobId) },
    unsupported,
    returns: "null",
    authorize: ({ access, all }) => requireJobCreation(access, all),
    handle: ({ lab, all }) => {
      const { id = crypto.randomUUID(), ...options } = all;
      if (options["schedule"] === undefined)
        throw parameterError({ schedule: "property is missing and it is not optional" });
      checkSelection(options);
      if (lab.jobs.find(String(id)) !== undefined) throw new Error(`Job '${String(id)}' already exists`);
      lab.jobs.put({ id: String(id), options: { enabled: true, ...storable(options) } });
      return null;
    },
  }),
  handler({
    method: "GET",
    path: "/cluster/backup/{id}",
    permissions: all("/", "Sys.Audit"),
    parameters: { id: jobId },
    returns: "object",
    handle: ({ lab, params }) => answer(existingJob(lab, params.id)),
  }),
  handler({
    method: "PUT",
    path: "/cluster/backup/{id}",
    permissions: all("/", "Sys.Modify"),
    parameters: { ...jobParameters, id: jobId, delete: optional(string()) },
    unsupported,
    returns: "null",
    authorize: ({ access, all, params }) => requireJobChange(access, all, splitList(params.delete ?? "")),
    handle: ({ lab, all, params }) => {
      const job = lab.jobs.find(params.id);
      if (job === undefined) throw new Error("no such vzdump job");
      const changes: typeof all = without(all, "id", "delete");
      const removed = splitList(params.delete ?? "");
      for (const option of removed)
        if (!Object.hasOwn(jobParameters, option) && !unsupported.includes(option))
          throw parameterError({ delete: `unknown option '${option}'` });
      // Another way to say which guests are meant replaces the old one.
      if (changes["vmid"] !== undefined) removed.push("all", "exclude", "pool");
      if (changes["all"] === true) removed.push("vmid", "pool");
      if (changes["pool"] !== undefined) removed.push("vmid", "all", "exclude");
      const kept = Object.fromEntries(Object.entries(job.options).filter(([option]) => !removed.includes(option)));
      const options = { ...kept, ...storable(changes) };
      checkSelection(options);
      lab.jobs.put({ id: job.id, options });
      return null;
    },
  }),
  handler({
    method: "DELETE",
    path: "/cluster/backup/{id}",
    permissions: all("/", "Sys.Modify"),
    parameters: { id: jobId },
    returns: "null",
    handle: ({ lab, params }) => {
      lab.jobs.remove(existingJob(lab, params.id).id);
      return null;
    },
  }),
  handler({
    method: "GET",
    path: "/cluster/backup/{id}/included_volumes",
    permissions: all("/", "Sys.Audit"),
    parameters: { id: jobId },
    returns: "object",
    handle: ({ lab, access, params }) => ({
      children: selectGuests(lab, existingJob(lab, params.id).options)
        .filter((vmId) => access.has(`/vms/${vmId}`, "VM.Audit"))
        .map((vmId) => includedVolumes(lab, vmId)),
    }),
  }),
  handler({
    method: "GET",
    path: "/cluster/backup-info/not-backed-up",
    permissions: all("/", "Sys.Audit"),
    parameters: {},
    returns: "array",
    handle: ({ lab, access }) => {
      const covered = new Set(lab.jobs.list().flatMap((job) => selectGuests(lab, job.options)));
      return lab.guests
        .list()
        .filter((vmId) => !covered.has(vmId) && access.has(`/vms/${vmId}`, "VM.Audit"))
        .map((vmid) => ({ vmid, type: "qemu", name: lab.guests.read(vmid).current["name"] ?? `VM ${vmid}` }));
    },
  }),
];

function existingJob(lab: Lab, id: string): BackupJob {
  const job = lab.jobs.find(id);
  if (job === undefined) throw parameterError({ id: `No such job '${id}'` });
  return job;
}

/** Values as the job keeps them; arrays cannot occur among the declared parameters. */
function storable(options: Readonly<Record<string, ParameterValue>>): BackupJob["options"] {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, Array.isArray(value) ? value.join(",") : value]),
  );
}

function answer({ id, options }: BackupJob): Record<string, unknown> {
  const values = Object.entries(options).map(([name, value]) => {
    if (name === "prune-backups") return [name, parsePropertyString(String(value))];
    return [name, typeof value === "boolean" ? (value ? 1 : 0) : value];
  });
  return { ...(Object.fromEntries(values) as Record<string, unknown>), id, type: "vzdump" };
}

function includedVolumes(lab: Lab, vmId: number): Record<string, unknown> {
  if (!lab.guests.exists(vmId)) return { id: vmId, type: "unknown" };
  const { current } = lab.guests.read(vmId);
  const drives = Object.entries(current).filter(([key]) => isDriveKey(key));
  return {
    id: vmId,
    name: current["name"] ?? `VM ${vmId}`,
    type: "qemu",
    children: drives
      .filter(([, value]) => !isCdrom(value))
      .map(([key, value]) => {
        const { file, options } = storedDrive(value);
        const included = options["backup"] !== "0";
        const reason = options["backup"] === undefined ? "enabled" : included ? "backup=yes" : "backup=no";
        return { id: key, name: file, included: included ? 1 : 0, reason };
      }),
  };
}
