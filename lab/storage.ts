/**
 * Volumes of the emulated storages: sparse raw files with the names that PVE gives them (`vm-200-disk-0` on LVM-thin,
 * `200/vm-200-disk-0.raw` on a directory).
 */
import { mkdirSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hasCode, isMissing } from "./errors";
import { CONTENT_FOLDERS, type StorageConfig, type StorageDefinition } from "./storage-config";
import { type VolumeStore } from "./types";

/** Size of a cloud-init drive (PVE::QemuServer::Cloudinit: 4 MiB). */
export const CLOUD_INIT_BYTES = 4 * 1024 * 1024;

/** Content types of volumes that are files in a folder of a directory storage. */
export type FileContent = "iso" | "vztmpl" | "import" | "snippets" | "backup";

/** A volume id, taken apart. */
export interface VolumeName {
  readonly definition: StorageDefinition;
  readonly content: "images" | FileContent;
  /** Disks only. */
  readonly vmId?: number;
  /** Name within the folder of its content type. */
  readonly name: string;
}

/** An image or cloud-init volume that belongs to a VM. */
export interface OwnedVolume {
  readonly volid: string;
  readonly path: string;
  readonly vmId: number;
}

export class LabVolumes implements VolumeStore {
  constructor(readonly config: StorageConfig) {}

  async allocateDisk(storage: string, vmId: number, sizeBytes: number): Promise<string> {
    const definition = await this.checkImages(storage, sizeBytes);
    for (let index = 0; ; index++) {
      const volid = this.imageId(definition, vmId, `vm-${vmId}-disk-${index}`);
      if (await this.make(volid, sizeBytes)) return volid;
    }
  }

  async allocateCloudInit(storage: string, vmId: number): Promise<string> {
    const definition = await this.checkImages(storage, CLOUD_INIT_BYTES);
    const volid = this.imageId(definition, vmId, `vm-${vmId}-cloudinit`);
    await this.make(volid, CLOUD_INIT_BYTES);
    return volid;
  }

  pathOf(volumeId: string): string {
    const { definition, content, name } = this.parse(volumeId);
    this.config.requireOnline(definition);
    const root = this.config.root(definition);
    return definition.type === "lvmthin" ? join(root, name) : join(root, CONTENT_FOLDERS[content], name);
  }

  async sizeOf(volumeId: string): Promise<number> {
    try {
      return (await stat(this.pathOf(volumeId))).size;
    } catch (error) {
      if (isMissing(error)) throw new Error(`volume '${volumeId}' does not exist`, { cause: error });
      throw error;
    }
  }

  /** Gives a disk to another guest under the next free name of that guest's. Source: pve-storage `rename_volume`. */
  async rename(volumeId: string, targetVmId: number): Promise<string> {
    const { definition } = this.parse(volumeId);
    await this.sizeOf(volumeId);
    const taken = new Set((await this.images(definition.storage)).map(({ volid }) => volid));
    for (let index = 0; ; index++) {
      const renamed = this.imageId(definition, targetVmId, `vm-${targetVmId}-disk-${index}`);
      if (taken.has(renamed)) continue;
      const path = this.pathOf(renamed);
      await mkdir(dirname(path), { recursive: true });
      await rename(this.pathOf(volumeId), path);
      return renamed;
    }
  }

  async free(volumeId: string): Promise<void> {
    await rm(this.pathOf(volumeId), { force: true });
  }

  /** @throws Error with PVE's text for a volume id that no storage plugin understands. */
  parse(volumeId: string): VolumeName {
    const match = /^([a-z][a-z0-9\-_.]*[a-z0-9]):(.+)$/i.exec(volumeId);
    const [, storage, name] = match ?? [];
    if (storage === undefined || name === undefined) throw new Error(`unable to parse volume ID '${volumeId}'`);
    const definition = this.config.get(storage);
    if (name.includes("..")) throw new Error(`unable to parse volume name '${name}'`);
    if (definition.type === "lvmthin") {
      const vmId = /^(?:vm|base)-(\d+)-\S+$/.exec(name)?.[1];
      if (vmId === undefined || name.includes("/")) throw new Error(`unable to parse lvm volume name '${name}'`);
      return { definition, content: "images", vmId: Number(vmId), name };
    }
    const vmId = /^(\d+)\/[^/\s]+$/.exec(name)?.[1];
    if (vmId !== undefined) return { definition, content: "images", vmId: Number(vmId), name };
    const [, content, file] = /^(iso|vztmpl|import|snippets|backup)\/([^/]+)$/.exec(name) ?? [];
    if (content === undefined || file === undefined) throw new Error(`unable to parse directory volume name '${name}'`);
    return { definition, content: content as FileContent, name: file };
  }

  /** Every disk and cloud-init volume of all storages, or of one. */
  async images(storage?: string): Promise<OwnedVolume[]> {
    const found: OwnedVolume[] = [];
    for (const definition of this.config.list()) {
      if (storage !== undefined && definition.storage !== storage) continue;
      const root = this.config.root(definition);
      if (definition.type === "lvmthin") {
        for (const name of await list(root)) {
          const vmId = /^(?:vm|base)-(\d+)-/.exec(name)?.[1];
          if (vmId !== undefined)
            found.push({ volid: `${definition.storage}:${name}`, path: join(root, name), vmId: Number(vmId) });
        }
        continue;
      }
      const images = join(root, CONTENT_FOLDERS.images);
      for (const vmId of await list(images))
        for (const name of await list(join(images, vmId)))
          found.push({
            volid: `${definition.storage}:${vmId}/${name}`,
            path: join(images, vmId, name),
            vmId: Number(vmId),
          });
    }
    return found;
  }

  /** Files of one content type on a directory storage. */
  async files(definition: StorageDefinition, content: FileContent): Promise<{ volid: string; path: string }[]> {
    if (definition.type === "lvmthin") return [];
    const folder = this.folderOf(definition, content);
    const names = await list(folder);
    return names.map((name) => ({ volid: `${definition.storage}:${content}/${name}`, path: join(folder, name) }));
  }

  /** @throws Error with PVE's text for a storage that can't be reached. */
  folderOf(definition: StorageDefinition, content: "images" | FileContent): string {
    this.config.requireOnline(definition);
    return join(this.config.root(definition), CONTENT_FOLDERS[content]);
  }

  /** Bytes that the storage's files really take. */
  async usedBytes(definition: StorageDefinition): Promise<number> {
    return await allocatedBytes(this.config.root(definition));
  }

  async availableBytes(definition: StorageDefinition): Promise<number> {
    return Math.max(0, this.config.totalBytes(definition) - (await this.usedBytes(definition)));
  }

  private imageId(definition: StorageDefinition, vmId: number, name: string): string {
    return definition.type === "lvmthin"
      ? `${definition.storage}:${name}`
      : `${definition.storage}:${vmId}/${name}.raw`;
  }

  private async checkImages(storage: string, sizeBytes: number): Promise<StorageDefinition> {
    const definition = this.config.get(storage);
    if (definition.disable === true) throw new Error(`storage '${storage}' is disabled`);
    if (!definition.content.includes("images"))
      throw new Error(`Content type 'images' is not available on storage '${storage}'`);
    if (sizeBytes > this.config.totalBytes(definition) || (await this.availableBytes(definition)) === 0)
      throw new Error(`unable to create image: no space left on storage '${storage}'`);
    return definition;
  }

  /** Makes a sparse file; false when the name is taken. */
  private async make(volid: string, sizeBytes: number): Promise<boolean> {
    const path = this.pathOf(volid);
    await mkdir(dirname(path), { recursive: true });
    try {
      const file = await open(path, "wx");
      await file.truncate(sizeBytes).finally(() => file.close());
      return true;
    } catch (error) {
      if (hasCode(error, "EEXIST")) return false;
      throw error;
    }
  }
}

/** Makes the folder that a file is about to be written to. */
export function ensureFolderOf(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
}

async function list(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

async function allocatedBytes(path: string): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    try {
      sum += (await stat(join(entry.parentPath, entry.name))).blocks * 512;
    } catch (error) {
      // Removed since it was listed.
      if (!isMissing(error)) throw error;
    }
  }
  return sum;
}
