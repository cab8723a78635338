/** A restore under a fault: the engine does its real work on damaged input, on a full disk, or up to where it is stopped. */
import { copyFile, mkdtemp, open, rm, stat, truncate } from "node:fs/promises";
import { basename, join } from "node:path";
import { restoreArchive } from "../backup/restore";
import { type RestoreRequest } from "../backup/types";
import { type Lab } from "../context";
import { type TaskContext, type VolumeStore } from "../types";

/** @param storage Id of the storage that holds the archive. */
export async function restoreUnderFaults(
  lab: Lab,
  storage: string,
  request: RestoreRequest,
  context: TaskContext,
): Promise<void> {
  const fault = lab.faults.onRestore(request.vmId);
  if (fault === undefined) {
    await lab.backups.restore(request, context);
    return;
  }
  switch (fault.effect) {
    case "fail-late":
      // As on a cluster that has lost its quorum: /etc/pve can't be written any more.
      await lab.backups.restore(
        { ...request, writeConfig: () => Promise.reject(readOnlyCluster(lab, request)) },
        context,
      );
      return;
    case "stall": {
      const writeConfig: RestoreRequest["writeConfig"] = async (config) => {
        await lab.faults.untilOff("restore-stalls", context.signal);
        await request.writeConfig(config);
      };
      await lab.backups.restore({ ...request, writeConfig }, context);
      return;
    }
    case "disk-full":
      await restoreArchive(fullDisks(lab.volumes), request, context);
      return;
    case "truncate":
      await onCopy(lab, request, cutInHalf, (damaged) => lab.backups.restore(damaged, context));
      return;
    case "flip-bit":
      await onCopy(lab, request, flipBit, (damaged) => lab.backups.restore(damaged, context));
      return;
    case "lose-storage":
      await onCopy(lab, request, cutInHalf, async (damaged) => {
        const checkStorage: RestoreRequest["checkStorage"] = async (target) => {
          await request.checkStorage(target);
          lab.faults.on("storage-offline", { storage });
        };
        await lab.backups.restore({ ...damaged, checkStorage }, context);
      });
      return;
    default:
      fault.effect satisfies never;
  }
}

function readOnlyCluster(lab: Lab, { vmId }: RestoreRequest): Error {
  const file = `/etc/pve/nodes/${lab.spec.node.name}/qemu-server/${vmId}.conf.tmp.${process.pid}`;
  return new Error(`unable to open file '${file}' - Permission denied`);
}

/** Whatever is written to a disk of these meets the kernel's own "no space left on device". */
function fullDisks(volumes: VolumeStore): VolumeStore {
  return {
    allocateDisk: (storage, vmId, sizeBytes) => volumes.allocateDisk(storage, vmId, sizeBytes),
    allocateCloudInit: (storage, vmId) => volumes.allocateCloudInit(storage, vmId),
    pathOf: () => "/dev/full",
    sizeOf: (volumeId) => volumes.sizeOf(volumeId),
    free: (volumeId) => volumes.free(volumeId),
  };
}

/** Works with a damaged copy of the archive; the archive itself stays as it is. */
async function onCopy(
  lab: Lab,
  request: RestoreRequest,
  damage: (file: string) => Promise<void>,
  work: (request: RestoreRequest) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(lab.spec.dir, "damaged-"));
  try {
    const archivePath = join(dir, basename(request.archivePath));
    await copyFile(request.archivePath, archivePath);
    await damage(archivePath);
    await work({ archiveLabel: request.archivePath, ...request, archivePath });
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function cutInHalf(file: string): Promise<void> {
  await truncate(file, Math.floor((await stat(file)).size / 2));
}

async function flipBit(file: string): Promise<void> {
  const handle = await open(file, "r+");
  try {
    const position = Math.floor((await handle.stat()).size / 2);
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, position);
    byte.writeUInt8(byte.readUInt8(0) ^ 1);
    await handle.write(byte, 0, 1, position);
  } finally {
    await handle.close();
  }
}
