/** What a homelab consists of, and what must be the same after a command that was killed and run again. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { parseVmConfig } from "../../pve/vm-config";
import type { ReachableApis } from "../bad-input/reachable";
import { generatedConfig, generatedDisk, type GeneratedDisk, type GeneratedGuest } from "../support/vma-generator";

export const PROD_VM = 200;
export const DRILL_VM = 9200;
/** A VM that no command has anything to do with. */
export const NEIGHBOUR_VM = 201;

const DISK: GeneratedDisk = {
  key: "scsi0",
  sizeBytes: 2 ** 20,
  writes: [{ offset: 4096, data: Buffer.from("restored ".repeat(5000)) }],
};

/** VM 200 in its archive, with everything that an emergency gives back last: description, start on boot, protection. */
export const GUEST: GeneratedGuest = {
  vmId: PROD_VM,
  name: "docker",
  disks: [DISK],
  lines: ["onboot: 1", "protection: 1", "tags: homelab", "#The central Docker VM."],
};

/** VMs with their disks, the backup jobs, storages, bridges, and the DNS records by not asking for them at all. */
export async function production(apis: ReachableApis, vmIds: readonly number[]): Promise<Record<string, unknown>> {
  const { lab, machines } = apis.api;
  const images = await lab.volumes.images();
  return {
    vms: vmIds.map((vmId) => ({
      vmId,
      digest: lab.guests.read(vmId).digest,
      isRunning: machines.running.has(vmId),
      disks: images
        .filter((image) => image.vmId === vmId)
        .map(({ volid, path }) => {
          const { size, mtimeMs, ino } = statSync(path);
          return { volid, size, mtimeMs, ino };
        }),
    })),
    jobs: lab.jobs.list(),
    storages: lab.storages.digest(),
    bridges: lab.spec.bridges,
    cloudflareRequests: apis.cloudflareRequests(),
  };
}

/** What of VM 200 is not as in its archive; nothing if it stands whole and runs. */
export async function notAsInArchive({ api }: ReachableApis): Promise<string[]> {
  const { lab, machines } = api;
  if (!lab.guests.exists(PROD_VM)) return [`VM ${PROD_VM} does not exist`];
  const { current, pending } = lab.guests.read(PROD_VM);
  const wanted = parseVmConfig(generatedConfig(GUEST));
  const problems = machines.running.has(PROD_VM) ? [] : [`VM ${PROD_VM} does not run`];
  for (const key of new Set([...Object.keys(wanted), ...Object.keys(current)])) {
    // Drawn anew by each restore, so that the guest knows of it.
    if (key === "vmgenid" || key === "meta" || key === DISK.key) continue;
    if (wanted[key] !== current[key]) problems.push(`${key} is ${current[key]}, not ${wanted[key]}`);
  }
  if (Object.keys(pending).length > 0) problems.push(`changes wait for the next start: ${JSON.stringify(pending)}`);
  const volume = current[DISK.key]?.split(",")[0] ?? "";
  const images = (await lab.volumes.images()).filter(({ vmId }) => vmId === PROD_VM);
  const ids = images.map(({ volid }) => volid);
  if (ids.join() !== volume) problems.push(`its disks are ${ids.join(", ")}, and its configuration names ${volume}`);
  const file = images.find(({ volid }) => volid === volume)?.path;
  if (file !== undefined && hash(readFileSync(file)) !== hash(generatedDisk(DISK))) {
    problems.push("its disk is not the archive's");
  }
  return problems;
}

/** Identity of VM 200's disk files, to tell a VM that was kept from one that was restored anew. */
export async function diskFiles({ api }: ReachableApis, vmId: number): Promise<string> {
  const images = (await api.lab.volumes.images()).filter((image) => image.vmId === vmId);
  return images.map(({ volid, path }) => `${volid} ${statSync(path).ino}`).join();
}

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
