/** Writes the ISO image of a cloud-init drive into its volume. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { diskKeys, isCloudInitDrive } from "../../pve/vm-config";
import { parsePropertyString } from "../../pve/property-string";
import { parseVolumeId } from "../../pve/volume-id";
import type { VmConfig, VolumeStore } from "../types";
import { type NodeDns, cloudInitFiles } from "./cloud-init";

/** PVE's size of a cloud-init volume. Bytes. */
const DRIVE_BYTES = 4 * 1024 * 1024;
/** PVE refuses more, so that the ISO image always fits. Bytes. */
const MAX_CONTENT_BYTES = 3 * 1024 * 1024;

const run = promisify(execFile);

/**
 * Makes the drive anew from the configuration, as PVE does at each start. A configuration without such a drive is no error;
 * a volume that is gone is allocated again. Returns whether there is one.
 */
export async function writeCloudInitDrive(
  vmId: number,
  config: VmConfig,
  volumes: VolumeStore,
  dns: NodeDns,
): Promise<boolean> {
  const key = diskKeys(config).find((disk) => isCloudInitDrive(config[disk] ?? ""));
  if (key === undefined) return false;
  const files = cloudInitFiles(vmId, config, dns);
  if (Buffer.byteLength(Object.values(files).join("")) > MAX_CONTENT_BYTES) {
    throw new Error("Cloud-Init sum of snippets too big (> 3 MiB)");
  }
  const volumeId = parsePropertyString(config[key] ?? "", "file").file ?? "";
  await volumes.allocateCloudInit(parseVolumeId(volumeId).storage, vmId);
  const image = await makeIso({ ...files }, "cidata");
  const volume = await open(volumes.pathOf(volumeId), "r+");
  try {
    await volume.truncate(0);
    await volume.truncate(Math.max(DRIVE_BYTES, image.length));
    await volume.write(image, 0, image.length, 0);
  } finally {
    await volume.close();
  }
  return true;
}

/** An ISO 9660 image with Joliet and Rock Ridge names, made by the same tool and options as PVE's. */
export async function makeIso(files: Readonly<Record<string, string>>, label: string): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), "homelab-cloud-init-"));
  try {
    const content = join(folder, "content");
    const image = join(folder, "image.iso");
    await mkdir(content);
    for (const [name, text] of Object.entries(files)) await writeFile(join(content, name), text, { mode: 0o600 });
    try {
      await run("genisoimage", ["-quiet", "-iso-level", "3", "-J", "-R", "-V", label, "-o", image, content]);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message.trim() : String(cause);
      throw new Error(`Unable to make the ISO image "${label}": ${reason}. Install the package genisoimage.`, {
        cause,
      });
    }
    return await readFile(image);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
