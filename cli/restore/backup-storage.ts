/** On a new node the storage that holds the archives has to be defined before anything can be restored from it. */
import { z } from "zod";
import type { PveClient, PveParameters } from "../../pve/client";
import { PveNotFound } from "../../pve/errors";
import { storageStatus } from "../../pve/nodes/storage";
import type { ProdConfig, RestoreConfig } from "../../stacks/config";
import { CliError } from "../errors";

export interface BackupStorageArgs {
  readonly client: PveClient;
  readonly config: RestoreConfig;
  /** Reads what production declares; asked only when the storage is missing. */
  readonly readProduction: () => Promise<ProdConfig>;
}

/**
 * Defines the backup storage as production declares it, where Proxmox does not have it (`POST /storage`). Gives what it
 * defined, in words; undefined if the storage was there.
 *
 * @throws CliError where production does not say what the storage is
 */
export async function defineBackupStorage(args: BackupStorageArgs): Promise<string | undefined> {
  const { client, config, readProduction } = args;
  const { node, backupStorage: storage } = config;
  if (await isDefined(client, node, storage)) return undefined;
  const { backup } = await readProduction();
  const parameters = parametersOf(storage, backup.storage);
  if (parameters === undefined) {
    throw new CliError(
      `Unable to restore VM ${config.dockerVm.vmId}: storage ${storage}, which holds its archives, is not defined on ${node}, and ` +
        `homelab:backup.storage of production is of type existing. Define it on the node (pvesm add … ${storage} --content backup).`,
    );
  }
  await client.post("/storage", z.unknown(), parameters);
  const { type, path, server, export: exported } = parameters;
  return `storage ${storage} (${String(type)} ${path === undefined ? `${String(server)}:${String(exported)}` : String(path)})`;
}

async function isDefined(client: PveClient, node: string, storage: string): Promise<boolean> {
  try {
    await storageStatus(client, node, storage);
    return true;
  } catch (error) {
    if (error instanceof PveNotFound) return false;
    throw error;
  }
}

/** As the component BackupPlan has it made; undefined for one that is made by hand. */
function parametersOf(storage: string, source: ProdConfig["backup"]["storage"]): PveParameters | undefined {
  const common = { storage, content: "backup" };
  switch (source.type) {
    case "directory":
      return { ...common, type: "dir", path: source.path, shared: true };
    case "nfs":
      return {
        ...{ ...common, type: "nfs", server: source.server, export: source.export },
        ...(source.options === undefined ? {} : { options: source.options }),
      };
    case "existing":
      return undefined;
  }
}
