/** Restores a VMA archive into new volumes, reading the archive and nothing else. Source: qemu-server `restore_vma_archive`. */
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { parsePropertyString, printPropertyString } from "../../pve/property-string";
import { parseDiskSize, printDiskSize } from "../../pve/size";
import { diskKeys, isCdrom } from "../../pve/vm-config";
import { type TaskContext, type VmConfig, type VolumeStore } from "../types";
import { compressionOf, decompress, decompressCommand, type Pipe } from "../vma/compression";
import { CLUSTER_SIZE, type VmaHeader } from "../vma/format";
import { openVma, type VmaReader, type VmaReadResult } from "../vma/reader";
import { renderCtime, renderPercent } from "./render";
import { planVolumes, restoreConfig, type RestoreVolume } from "./restore-config";
import { type RestoreRequest } from "./types";

/** PVE gives up on an archive whose header does not come within this time. */
const HEADER_TIMEOUT_MS = 60_000;
const CONFIG_BLOB = "qemu-server.conf";

/** The bytes of a stream, at most at this rate. */
async function* limited(input: AsyncIterable<Buffer>, bytesPerSecond: number): AsyncGenerator<Buffer> {
  const start = performance.now();
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    const ahead = (bytes / bytesPerSecond) * 1000 - (performance.now() - start);
    if (ahead > 0) await delay(ahead);
    yield chunk;
  }
}

/** Configuration text of an opened archive. Throws when it has none. */
export function archiveConfig(header: VmaHeader): string {
  const blob = header.configs.find((config) => config.name === CONFIG_BLOB);
  if (blob === undefined) throw new Error(`unable to read ${CONFIG_BLOB} - No such file or directory`);
  return blob.data.toString("utf8");
}

/** The configuration in an archive. Reads only its header; the decompressor is ended early. */
export async function extractConfig(archivePath: string): Promise<string> {
  const pipe = decompress(archivePath, compressionOf(archivePath));
  try {
    return archiveConfig((await openVma(pipe.output as AsyncIterable<Buffer>)).header);
  } catch (cause) {
    const reason = pipe.messages.at(-1) ?? (cause instanceof Error ? cause.message : String(cause));
    throw new Error(`unable to extract configuration for backup archive '${archivePath}': ${reason}`, { cause });
  } finally {
    pipe.kill();
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One restore: what it allocated so far, so that a failure can free it. */
class Restore {
  private readonly allocated: string[] = [];
  private readonly command: string;
  private readonly pipe: Pipe;

  constructor(
    private readonly volumes: VolumeStore,
    private readonly request: RestoreRequest,
    private readonly context: TaskContext,
  ) {
    const compression = compressionOf(request.archivePath);
    const label = request.archiveLabel ?? request.archivePath;
    const temporary = `/var/tmp/vzdumptmp${process.pid}`;
    const extract = `vma extract -v -r ${temporary}.fifo ${compression === "none" ? label : "-"} ${temporary}`;
    this.command =
      compression === "none" ? extract : `${[...decompressCommand(compression), label].join(" ")} | ${extract}`;
    this.pipe = decompress(request.archivePath, compression);
  }

  async run(): Promise<void> {
    this.context.log(`restore vma archive: ${this.command}`);
    const abort = (): void => this.pipe.kill();
    this.context.signal.addEventListener("abort", abort, { once: true });
    try {
      const reader = await this.openArchive();
      const text = archiveConfig(reader.header);
      this.logHeader(reader.header);
      const plan = planVolumes(text, reader.header.devices, this.request.storage);
      for (const storage of new Set(plan.map((volume) => volume.storage))) await this.request.checkStorage(storage);
      await this.replacePrevious(plan);
      const map = await this.allocate(plan);
      await this.restoreData(reader, plan, map);
      const config = restoreConfig({
        text,
        volumes: map,
        unique: this.request.unique === true,
        overrides: this.request.overrides ?? {},
      });
      this.context.log("rescan volumes...");
      await this.request.writeConfig(this.rescan(config, plan, map));
    } catch (error) {
      await this.cleanUp();
      throw this.context.signal.aborted ? new Error("interrupted by signal", { cause: error }) : error;
    } finally {
      this.context.signal.removeEventListener("abort", abort);
      this.pipe.kill();
    }
  }

  /** The tool's own failure is what PVE reports; its last words are in the log. */
  private async fail(error: unknown): Promise<Error> {
    this.pipe.kill();
    await this.pipe.finished.catch(() => undefined);
    for (const line of this.pipe.messages) this.context.log(line);
    this.context.log(`vma: restore failed - ${message(error)}`);
    const shell = this.command.includes(" | ") ? `set -o pipefail && ${this.command}` : this.command;
    return new Error(`command '${shell}' failed: exit code 133`, { cause: error });
  }

  private async openArchive(): Promise<VmaReader> {
    const limit = (this.request.bandwidthLimitKiB ?? 0) * 1024;
    if (limit > 0) this.context.log(`applying read rate limit: ${limit / 1024}`);
    const output = this.pipe.output as AsyncIterable<Buffer>;
    const timeout = new AbortController();
    const late = delay(HEADER_TIMEOUT_MS, "late" as const, { signal: timeout.signal, ref: false });
    late.catch(() => undefined); // aborted when the header came in time
    try {
      const opened = await Promise.race([openVma(limit > 0 ? limited(output, limit) : output), late]);
      if (opened === "late") throw new Error("got timeout reading VMA header - corrupted?");
      return opened;
    } catch (error) {
      if (message(error).startsWith("got timeout")) throw error;
      throw await this.fail(error);
    } finally {
      timeout.abort();
    }
  }

  private logHeader(header: VmaHeader): void {
    for (const config of header.configs) {
      this.context.log(`CFG: size: ${config.data.length} name: ${config.name}`);
      if (config.name !== CONFIG_BLOB) {
        this.context.log(`WARN: '${config.name}' of the archive is not restored: the lab has no firewall`);
      }
    }
    for (const device of header.devices) {
      this.context.log(`DEV: dev_id=${device.id} size: ${device.sizeBytes} devname: ${device.name}`);
    }
    this.context.log(`CTIME: ${renderCtime(new Date(header.ctime * 1000))}`);
  }

  /** With `force`: the old disks go before the new data is there, as in PVE. */
  private async replacePrevious(plan: readonly RestoreVolume[]): Promise<void> {
    const previous = this.request.previous;
    if (previous === undefined) return;
    await this.request.writeConfig({ memory: "128", lock: "create" });
    for (const { key } of plan) {
      const value = previous[key];
      const volume = value === undefined ? undefined : parsePropertyString(value, "file")["file"];
      if (volume !== undefined && volume !== "none") await this.volumes.free(volume);
    }
  }

  private async allocate(plan: readonly RestoreVolume[]): Promise<Record<string, string>> {
    const map: Record<string, string> = {};
    for (const volume of plan) {
      const volid =
        volume.device === undefined
          ? await this.volumes.allocateCloudInit(volume.storage, this.request.vmId)
          : await this.volumes.allocateDisk(volume.storage, this.request.vmId, volume.sizeBytes);
      this.allocated.push(volid);
      this.context.log(`new volume ID is '${volid}'`);
      map[volume.key] = volid;
    }
    return map;
  }

  private async restoreData(
    reader: VmaReader,
    plan: readonly RestoreVolume[],
    map: Readonly<Record<string, string>>,
  ): Promise<void> {
    const targets = new Map<number, FileHandle>();
    let result: VmaReadResult;
    try {
      for (const volume of plan) {
        const volid = map[volume.key];
        if (volume.device === undefined || volid === undefined) continue;
        const path = this.volumes.pathOf(volid);
        this.context.log(`map '${volume.device.name}' to '${path}' (write zeros = 0)`);
        targets.set(volume.device.id, await open(path, "r+"));
      }
      result = await this.stream(reader, targets);
    } finally {
      for (const target of targets.values()) await target.close();
    }
    const read = result.clustersRead * CLUSTER_SIZE;
    const sparse = result.zeroClusterBytes;
    this.context.log(`total bytes read ${read}, sparse bytes ${sparse} (${renderPercent((100 * sparse) / read)}%)`);
    if (read > sparse) {
      const saved = renderPercent((100 * result.zeroBlockBytes) / (read - sparse));
      this.context.log(`space reduction due to 4K zero blocks ${saved}%`);
    }
  }

  private async stream(reader: VmaReader, targets: ReadonlyMap<number, FileHandle>): Promise<VmaReadResult> {
    const start = performance.now();
    let lastPercent = 0;
    try {
      const result = await reader.restore({
        targets,
        signal: this.context.signal,
        onProgress: ({ clustersRead, clusterCount }) => {
          const percent = Math.min(100, Math.floor((clustersRead * 100) / clusterCount));
          if (percent === lastPercent) return;
          lastPercent = percent;
          const seconds = Math.floor((performance.now() - start) / 1000);
          this.context.log(`progress ${percent}% (read ${clustersRead * CLUSTER_SIZE} bytes, duration ${seconds} sec)`);
        },
      });
      await this.pipe.finished;
      return result;
    } catch (error) {
      throw await this.fail(error);
    }
  }

  /** Disk sizes as they are, and old disks that nothing names any more as unused ones. */
  private rescan(config: VmConfig, plan: readonly RestoreVolume[], map: Readonly<Record<string, string>>): VmConfig {
    const result: VmConfig = { ...config };
    for (const volume of plan) {
      const value = result[volume.key];
      if (volume.device === undefined || value === undefined) continue;
      const drive = parsePropertyString(value, "file");
      if (drive["size"] !== undefined && parseDiskSize(drive["size"]) === volume.sizeBytes) continue;
      const size = printDiskSize(volume.sizeBytes);
      const from = drive["size"] === undefined ? "" : `from ${drive["size"]} `;
      this.context.log(
        `VM ${this.request.vmId} (${volume.key}): size of disk '${map[volume.key] ?? ""}' updated ${from}to ${size}`,
      );
      result[volume.key] = printPropertyString({ ...drive, size }, "file");
    }
    const previous = this.request.previous ?? {};
    let unused = 0;
    for (const key of diskKeys(previous)) {
      const value = previous[key];
      if (value === undefined || isCdrom(value) || key in map) continue;
      const volid = parsePropertyString(value, "file")["file"] ?? "";
      this.context.log(`VM ${this.request.vmId} add unreferenced volume '${volid}' as 'unused${unused}' to config`);
      result[`unused${unused}`] = volid;
      unused++;
    }
    return result;
  }

  private async cleanUp(): Promise<void> {
    for (const volid of this.allocated) {
      try {
        await this.volumes.free(volid);
        this.context.log(`temporary volume '${volid}' successfully removed`);
      } catch (error) {
        this.context.log(`unable to cleanup '${volid}' - ${message(error)}`);
      }
    }
  }
}

/** Restores one archive. On failure the new volumes are freed, the husk's lock is removed, and its configuration stays. */
export async function restoreArchive(
  volumes: VolumeStore,
  request: RestoreRequest,
  context: TaskContext,
): Promise<void> {
  try {
    if (request.liveRestore === true) {
      throw new Error("live-restore is only compatible with backup images from a Proxmox Backup Server");
    }
    await new Restore(volumes, request, context).run();
  } catch (error) {
    await request.removeLock();
    context.log(
      `error before or during data restore, some or all disks were not completely restored. ` +
        `VM ${request.vmId} state is NOT cleaned up.`,
    );
    throw error;
  }
}
