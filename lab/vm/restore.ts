/** Restoring a guest from an archive (PVE::API2::Qemu `create_vm` with `archive`). */
import { messageOf, parameterError } from "../errors";
import { type Lab } from "../context";
import { restoreUnderFaults } from "../faults/restore";
import { type TaskContext, type VmConfig } from "../types";
import { type Access } from "../privileges/access-control";
import { requireBridges } from "../privileges/vm-access";
import { isDriveKey } from "./drive";
import { checkProtection } from "./destroy";

export interface RestoreParams {
  readonly vmId: number;
  /** Volume id of the archive. */
  readonly archive: string;
  readonly storage?: string;
  readonly unique: boolean;
  readonly force: boolean;
  readonly liveRestore: boolean;
  readonly bandwidthLimitKiB?: number;
  readonly overrides: VmConfig;
  /** Whose restore it is: the archive's own storages and bridges are known only once it is read. */
  readonly access: Access;
}

/** Everything that PVE checks before the task, then the lock. Gives the previous configuration of a forced restore. */
export async function prepareRestore(lab: Lab, params: RestoreParams): Promise<VmConfig | undefined> {
  const { vmId, archive, overrides } = params;
  const disks = Object.keys(overrides).filter((key) => isDriveKey(key));
  if (disks.length > 0)
    throw parameterError(Object.fromEntries(disks.map((key) => [key, "option conflicts with option 'archive'"])));
  if (archive.startsWith("/")) throw new Error("Only root can pass arbitrary filesystem paths.");
  if (!/^[^/:]+:.+/.test(archive)) throw new Error(`unable to parse volume ID '${archive}'`);
  const { content } = lab.volumes.parse(archive);
  if (content !== "backup") throw new Error(`unable to use volume ${archive} - content type needs to be 'backup'`);
  await lab.volumes.sizeOf(archive);
  if (params.storage !== undefined) lab.storages.get(params.storage);
  try {
    return lock(lab, params);
  } catch (error) {
    throw new Error(`unable to restore VM ${vmId} - ${messageOf(error)}`, { cause: error });
  }
}

function lock(lab: Lab, { vmId, force }: RestoreParams): VmConfig | undefined {
  if (!lab.guests.exists(vmId)) {
    lab.guests.create(vmId, "create");
    return undefined;
  }
  if (!force) throw new Error(`VM ${vmId} already exists on node '${lab.spec.node.name}'`);
  lab.guests.checkLock(vmId);
  const { current } = lab.guests.read(vmId);
  lab.guests.write(vmId, { current: { ...current, lock: "create" } });
  return current;
}

/** Work of a `qmrestore` task. A failure leaves the husk of the configuration, as on PVE. */
export async function restoreGuest(
  lab: Lab,
  params: RestoreParams,
  previous: VmConfig | undefined,
  context: TaskContext,
): Promise<void> {
  const { vmId, archive } = params;
  const { definition } = lab.volumes.parse(archive);
  const archivePath = lab.volumes.pathOf(archive);
  await lab.guests.exclusively(vmId, async () => {
    try {
      if (lab.machines.status(vmId).status === "running")
        throw new Error(`unable to restore VM ${vmId} - vm is running`);
      if (previous !== undefined) checkProtection(previous, `unable to restore VM ${vmId} -`);
    } catch (error) {
      lab.guests.removeLock(vmId, "create");
      throw error;
    }
    await restoreUnderFaults(
      lab,
      definition.storage,
      {
        vmId,
        archivePath,
        archiveLabel: lab.storages.reportedPath(definition, archivePath),
        storage: params.storage,
        unique: params.unique,
        overrides: params.overrides,
        liveRestore: params.liveRestore,
        bandwidthLimitKiB: params.bandwidthLimitKiB,
        previous,
        checkStorage: (storage) => {
          params.access.require(`/storage/${storage}`, "Datastore.AllocateSpace");
          if (!lab.storages.get(storage).content.includes("images"))
            throw new Error(`Content type 'images' is not available on storage '${storage}'`);
        },
        writeConfig: async (config) => {
          requireBridges(params.access, config);
          lab.guests.write(vmId, { current: config });
        },
        removeLock: async () => {
          lab.guests.removeLock(vmId, "create");
        },
      },
      context,
    );
  });
}
