/** Turns what a drive value asks for (a new disk, an import, a cloud-init drive) into real volumes. */
import { messageOf, notEmulated, parameterError } from "../errors";
import { printDiskSize } from "../../pve/size";
import { runCommand } from "../run-command";
import { type LabVolumes } from "../storage";
import { type TaskContext, type VmConfig } from "../types";
import { isDriveKey, isEmpty, isRemovable, newCloudInit, newDisk, parseDrive, printDrive, type Drive } from "./drive";

const IMPORT_FORMATS: Readonly<Record<string, string>> = { qcow2: "qcow2", raw: "raw", vmdk: "vmdk", img: "raw" };

/** Volumes that were made, for undoing. */
export interface MadeDrives {
  readonly values: VmConfig;
  readonly made: readonly string[];
}

/**
 * Makes what the drive values ask for and returns all values in stored form. If one fails, those made before are freed.
 */
export async function makeDrives(
  volumes: LabVolumes,
  vmId: number,
  values: VmConfig,
  context: TaskContext,
): Promise<MadeDrives> {
  const made: string[] = [];
  const stored: VmConfig = {};
  try {
    for (const [key, value] of Object.entries(values)) {
      if (!isDriveKey(key)) {
        stored[key] = value;
        continue;
      }
      const drive = await makeDrive(volumes, vmId, { key, drive: parseDrive(key, value) }, made, context);
      stored[key] = printDrive(drive);
      context.log(`${key}: successfully created disk '${stored[key]}'`);
    }
  } catch (error) {
    for (const volid of made) await volumes.free(volid);
    throw error;
  }
  return { values: stored, made };
}

/** Problems that PVE reports before it starts a task. @throws ApiError or Error with PVE's texts. */
export function checkDrives(volumes: LabVolumes, values: VmConfig): void {
  for (const [key, value] of Object.entries(values)) {
    if (!isDriveKey(key)) continue;
    const { file, options } = parseDrive(key, value);
    if (file.startsWith("/") || options["import-from"]?.startsWith("/") === true)
      throw new Error("Only root can pass arbitrary filesystem paths.");
    const disk = newDisk(file);
    if (disk !== undefined) {
      volumes.config.get(disk.storage);
      if (options["format"] !== undefined && options["format"] !== "raw")
        throw notEmulated(`disk format '${options["format"]}' (${key}); its disks are raw`);
      if (disk.sizeBytes === 0 && options["import-from"] === undefined)
        throw parameterError({ [key]: "invalid format - a new disk needs a size in GiB" });
    } else if (options["import-from"] !== undefined) {
      throw parameterError({
        [key]: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>",
      });
    }
    if (options["import-from"] !== undefined) volumes.parse(options["import-from"]);
  }
}

async function makeDrive(
  volumes: LabVolumes,
  vmId: number,
  { key, drive }: { key: string; drive: Drive },
  made: string[],
  context: TaskContext,
): Promise<Drive> {
  if (isEmpty(drive.file)) return drive;
  const cloudInitStorage = newCloudInit(drive.file);
  if (cloudInitStorage !== undefined) {
    const file = await volumes.allocateCloudInit(cloudInitStorage, vmId);
    made.push(file);
    return { file, options: { media: "cdrom", size: printDiskSize(await volumes.sizeOf(file)) } };
  }
  const disk = newDisk(drive.file);
  if (disk === undefined) return await existingDrive(volumes, vmId, drive);
  const source = drive.options["import-from"];
  const image = source === undefined ? undefined : await inspectImage(volumes, source);
  const sizeBytes = image === undefined ? disk.sizeBytes : image.sizeBytes;
  const file = await volumes.allocateDisk(disk.storage, vmId, sizeBytes);
  made.push(file);
  if (image !== undefined && source !== undefined) {
    context.log(`${key}: importing disk '${source}'`);
    await importImage({ ...image, target: volumes.pathOf(file) }, context);
  }
  return { file, options: { ...drive.options, size: printDiskSize(sizeBytes) } };
}

async function existingDrive(volumes: LabVolumes, vmId: number, drive: Drive): Promise<Drive> {
  const { vmId: owner } = volumes.parse(drive.file);
  if (owner !== undefined && owner !== vmId)
    throw new Error(`volume '${drive.file}' is owned by VM ${owner} and cannot be used by VM ${vmId}`);
  const size = await volumes.sizeOf(drive.file);
  const options = isRemovable(drive) ? { ...drive.options, media: "cdrom" } : drive.options;
  return { ...drive, options: { ...options, size: printDiskSize(size) } };
}

async function inspectImage(
  volumes: LabVolumes,
  source: string,
): Promise<{ path: string; format: string; sizeBytes: number }> {
  await volumes.sizeOf(source);
  const { content, name } = volumes.parse(source);
  const format = content === "images" ? "raw" : IMPORT_FORMATS[/\.([^.]+)$/.exec(name)?.[1] ?? ""];
  if (format === undefined) throw new Error(`unable to import '${source}': unknown image format`);
  const path = volumes.pathOf(source);
  const info = JSON.parse(await runCommand("qemu-img", ["info", "--output=json", "-f", format, path])) as {
    "virtual-size": number;
  };
  return { path, format, sizeBytes: info["virtual-size"] };
}

async function importImage(
  { path, format, sizeBytes, target }: { path: string; format: string; sizeBytes: number; target: string },
  { log, signal }: TaskContext,
): Promise<void> {
  const total = (sizeBytes / 1024 ** 3).toFixed(1);
  let reported = -10;
  await runCommand("qemu-img", ["convert", "-p", "-n", "--target-is-zero", "-f", format, "-O", "raw", path, target], {
    signal,
    onOutput: (text) => {
      const percent = Number(/\((\d+(?:\.\d+)?)\/100%\)/.exec(text)?.[1] ?? "-1");
      if (percent < reported + 10) return;
      reported = percent;
      log(
        `transferred ${((sizeBytes * percent) / 100 / 1024 ** 3).toFixed(1)} GiB of ${total} GiB (${percent.toFixed(2)}%)`,
      );
    },
  }).catch((error: unknown) => {
    throw new Error(`unable to import disk image - copy failed: ${messageOf(error)}`, { cause: error });
  });
}
