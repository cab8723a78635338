/** Finds in Proxmox what planned resources stand for. Only reads. */
import { z } from "zod";
import { type PveClient, pvePath } from "../../pve/client";
import { backupJobs } from "../../pve/cluster/backup";
import { clusterGuests } from "../../pve/cluster/resources";
import { CliError } from "../errors";
import { type Inputs, type PlannedResource, textInput, UNKNOWN } from "./plan";
import type { Located } from "./state";

/** Undefined: there is no such thing. */
export type Locate = (planned: PlannedResource) => Promise<Located | undefined>;

const storagesSchema = z.array(z.object({ storage: z.string(), type: z.string() }));
const contentSchema = z.array(z.object({ volid: z.string() }));

/** How it was downloaded, which only the state knows. Source: bpg v0.111, defaults in fwprovider/nodes/resource_download_file.go. */
const DOWNLOAD = { overwriteUnmanaged: false, uploadTimeout: 600, verify: true };

/** Lookups by resource type. */
export function proxmoxLookups(client: PveClient, plan: readonly PlannedResource[]): Readonly<Record<string, Locate>> {
  return {
    "proxmoxve:index/vmLegacy:VmLegacy": (planned) => locateVm(client, planned, plan),
    "proxmoxve:download/file:File": (planned) => locateImage(client, planned),
    "proxmoxve:storage/directory:Directory": (planned) => locateStorage(client, planned, "dir"),
    "proxmoxve:storage/nfs:Nfs": (planned) => locateStorage(client, planned, "nfs"),
    "proxmoxve:backup/job:Job": (planned) => locateJob(client, planned),
  };
}

async function locateVm(
  client: PveClient,
  planned: PlannedResource,
  plan: readonly PlannedResource[],
): Promise<Located | undefined> {
  const [node, vmId] = [textInput(planned, "nodeName"), Number(textInput(planned, "vmId"))];
  const guest = (await clusterGuests(client)).find(({ vmid }) => vmid === vmId);
  if (guest === undefined) return undefined;
  if (guest.type !== "qemu") {
    throw new CliError(
      `Unable to adopt VM ${vmId}: the guest of this id (${guest.name ?? "without a name"}) is a container of Proxmox. ` +
        "Correct homelab:dockerVm.vmId.",
    );
  }
  if (guest.node !== node) {
    throw new CliError(
      `Unable to adopt VM ${vmId}: it is on node ${guest.node}, and the configuration says ${node}. Correct homelab:node.`,
    );
  }
  return { id: String(vmId), inputs: withImage(planned.inputs ?? {}, imageOf(plan)) };
}

/** The disk's image is known only once the download is there; without one it has no effect on a VM that exists. */
function withImage(inputs: Inputs, volume: string): Inputs {
  return JSON.parse(JSON.stringify(inputs).replaceAll(JSON.stringify(UNKNOWN), JSON.stringify(volume))) as Inputs;
}

function imageOf(plan: readonly PlannedResource[]): string {
  const image = plan.find(({ type }) => type === "proxmoxve:download/file:File");
  return image === undefined ? "" : volumeOf(image);
}

function volumeOf(image: PlannedResource): string {
  return `${textInput(image, "datastoreId")}:${textInput(image, "contentType")}/${textInput(image, "fileName")}`;
}

async function locateImage(client: PveClient, planned: PlannedResource): Promise<Located | undefined> {
  const [node, storage] = [textInput(planned, "nodeName"), textInput(planned, "datastoreId")];
  const query = { content: textInput(planned, "contentType") };
  const items = await client.get(pvePath`/nodes/${node}/storage/${storage}/content`, contentSchema, query);
  const volume = volumeOf(planned);
  return items.some(({ volid }) => volid === volume) ? { id: volume, outputs: { id: volume, ...DOWNLOAD } } : undefined;
}

async function locateStorage(client: PveClient, planned: PlannedResource, type: string): Promise<Located | undefined> {
  const id = textInput(planned, "resourceId");
  const storage = (await client.get("/storage", storagesSchema)).find((candidate) => candidate.storage === id);
  if (storage === undefined) return undefined;
  if (storage.type !== type) {
    throw new CliError(
      `Unable to adopt storage ${id}: it is of type ${storage.type}, and the configuration says ${type}. ` +
        "Correct homelab:backup.storage, or say type: existing, which leaves the storage alone.",
    );
  }
  return { id };
}

async function locateJob(client: PveClient, planned: PlannedResource): Promise<Located | undefined> {
  const id = textInput(planned, "resourceId");
  return (await backupJobs(client)).some((job) => job.id === id) ? { id } : undefined;
}
