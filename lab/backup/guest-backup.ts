/** The backup of one guest. Source: pve-manager `exec_backup_task`, qemu-server `PVE::VZDump::QemuServer`. */
import { access, mkdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { printArchiveName } from "../../pve/archive-name";
import { parseDiskSize } from "../../pve/size";
import { parseVmConfig } from "../../pve/vm-config";
import { type TaskContext, type VmConfig } from "../types";
import { type VmaSource } from "../vma/writer";
import { newArchiveUuid, printUuid, writeArchive } from "./archive-writer";
import { listArchives, logPath, notesPath, protectionPath, pruneArchives } from "./archives";
import { cancelCopies, type DiskCopy, startCopies, waitForCopies } from "./disk-copy";
import { freeze } from "./guest-agent";
import { archivedConfig, archiveDevice, type GuestDisk, guestDisks } from "./guest-disks";
import { GuestPower } from "./guest-power";
import { renderNotes } from "./notes";
import { BackupProgress } from "./progress";
import { keepsAll, printRetention, retentionLimit } from "./prune";
import { renderArchiveSize, renderClock, renderTime } from "./render";
import { type BackupEngineArgs, type Retention, type VzdumpMode, type VzdumpRequest } from "./types";
import { VzdumpLog } from "./vzdump-log";

const COMPRESSIONS = { "0": "none", "1": "lzo", lzo: "lzo", gzip: "gz", zstd: "zst" } as const;

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One guest in a job. */
export class GuestBackup {
  private readonly now: () => Date;
  private readonly log: VzdumpLog;
  private readonly start: Date;
  /** Real path of the finished archive. */
  private readonly target: string;
  /** Where it is written until it is whole: the last extension is `.dat`. */
  private readonly partial: string;
  private readonly tmpDir: string;
  private readonly retention: Retention;

  constructor(
    private readonly args: BackupEngineArgs,
    private readonly request: VzdumpRequest,
    private readonly vmId: number,
    private readonly context: TaskContext,
  ) {
    this.now = args.now ?? (() => new Date());
    this.log = new VzdumpLog(context.log, this.now);
    this.start = this.now();
    const compression = COMPRESSIONS[request.compress];
    const format = compression === "none" ? "vma" : (`vma.${compression}` as const);
    this.target = join(request.dumpDir, printArchiveName(vmId, this.start, format));
    this.partial = this.target.replace(/\.[^.]+$/, ".dat");
    this.tmpDir = join(args.tmpDir, `vzdumptmp${process.pid}_${vmId}`);
    this.retention = request.pruneBackups ?? request.storagePruneBackups ?? { keepAll: true };
  }

  /** Runs it and logs the outcome. False: it failed, nothing of it is left but its log. */
  async run(): Promise<boolean> {
    let saveLog = false;
    let failure: unknown;
    try {
      const configText = await this.args.guests.readConfig(this.vmId);
      if (configText === undefined) throw new Error(`unable to find VM '${this.vmId}'`);
      await this.checkLimits();
      await mkdir(this.request.dumpDir, { recursive: true });
      await rm(this.tmpDir, { recursive: true, force: true });
      await mkdir(this.tmpDir, { recursive: true });
      saveLog = true;
      this.log.info(`Starting Backup of VM ${this.vmId} (qemu)`);
      this.log.info(`Backup started at ${renderTime(this.start)}`);
      await this.backUp(configText);
    } catch (error) {
      failure = this.context.signal.aborted ? new Error("interrupted by signal", { cause: error }) : error;
    }
    await rm(this.partial, { force: true });
    await rm(this.tmpDir, { recursive: true, force: true });
    if (failure === undefined) {
      const seconds = (this.now().getTime() - this.start.getTime()) / 1000;
      this.log.info(`Finished Backup of VM ${this.vmId} (${renderClock(seconds)})`);
      this.log.info(`Backup finished at ${renderTime(this.now())}`);
    } else {
      this.log.error(`Backup of VM ${this.vmId} failed - ${message(failure)}`);
      this.log.info(`Failed at ${renderTime(this.now())}`);
    }
    if (saveLog) {
      await this.log
        .save(logPath(this.target))
        .catch((error: unknown) => this.log.warn(`unable to save log - ${message(error)}`));
    }
    return failure === undefined;
  }

  /** Without removal, a retention that is used up refuses the backup. */
  private async checkLimits(): Promise<void> {
    const limit = retentionLimit(this.retention);
    if (limit === 0 || this.request.remove !== false || this.request.protected === true) return;
    const archives = await listArchives(this.request.dumpDir, this.request.storage, this.vmId);
    if (archives.filter((archive) => !archive.protected).length >= limit) {
      throw new Error(
        `There is a max backup limit of ${limit} enforced by the target storage or the vzdump parameters. ` +
          `Either increase the limit or delete old backups.`,
      );
    }
  }

  private async backUp(configText: string): Promise<void> {
    const status = this.args.machines.status(this.vmId);
    const running = status.status === "running";
    this.log.info(`status = ${status.status}`);
    await this.args.guests.lock(this.vmId);
    try {
      const config = parseVmConfig(configText);
      const power = new GuestPower(this.args.machines, this.vmId, config, this.log, this.now, this.context);
      if (config["name"] !== undefined) this.log.info(`VM Name: ${config["name"]}`);
      const disks = this.includedDisks(config);
      const mode: VzdumpMode = running ? this.request.mode : "stop";
      this.log.info(`backup mode: ${mode}`);
      const limit = this.request.bandwidthLimitKiB ?? 0;
      if (limit > 0) this.log.info(`bandwidth limit: ${limit} KB/s`);
      this.log.info("ionice priority: 7");
      try {
        await power.prepare(mode, this.request.stopWaitMinutes ?? 10);
        await this.archive(configText, config, disks, mode, power);
      } finally {
        await power.bringBack();
      }
      await this.finish(config);
    } finally {
      await this.args.guests.unlock(this.vmId);
    }
  }

  private includedDisks(config: VmConfig): GuestDisk[] {
    const disks = guestDisks(config);
    for (const disk of disks) {
      this.log.info(
        disk.excluded === undefined
          ? `include disk '${disk.key}' '${disk.volid}'${disk.size === undefined ? "" : ` ${disk.size}`}`
          : `exclude disk '${disk.key}' '${disk.volid}' (${disk.excluded})`,
      );
    }
    const included = disks.filter((disk) => disk.excluded === undefined);
    if (included.length === 0) {
      throw new Error("backup contains no disks: the lab makes no archives without one");
    }
    return included;
  }

  private async archive(
    configText: string,
    config: VmConfig,
    disks: readonly GuestDisk[],
    mode: VzdumpMode,
    power: GuestPower,
  ): Promise<void> {
    const archived = archivedConfig(configText, disks);
    archived.remarks.forEach((remark) => this.log.info(remark));
    const label = join(this.request.dumpDirLabel ?? this.request.dumpDir, basename(this.target));
    this.log.info(`creating vzdump archive '${label}'`);
    const uuid = newArchiveUuid();
    const ctime = Math.floor(this.now().getTime() / 1000);
    const bytesPerSecond = (this.request.bandwidthLimitKiB ?? 0) * 1024;
    const sources = power.running
      ? await this.copyRunning(config, disks, mode, power, printUuid(uuid), bytesPerSecond)
      : await this.stoppedSources(disks, printUuid(uuid));
    const progress = new BackupProgress(this.log, this.now);
    await writeArchive({
      path: this.partial,
      compression: COMPRESSIONS[this.request.compress],
      zstdThreads: this.request.zstdThreads ?? 1,
      uuid,
      ctime,
      configs: [{ name: "qemu-server.conf", data: Buffer.from(archived.text, "utf8") }],
      sources,
      signal: this.context.signal,
      bytesPerSecond: power.running ? 0 : bytesPerSecond,
      availableBytes: this.request.availableBytes,
      onProgress: (status) => progress.report(status),
    }).then((status) => progress.finish(status));
    await rename(this.partial, this.target);
    this.log.info(`archive file size: ${renderArchiveSize((await stat(this.target)).size)}`);
  }

  /** Nobody writes to a stopped guest's disks, and its lock keeps it stopped: they are read as they are. */
  private async stoppedSources(disks: readonly GuestDisk[], uuid: string): Promise<VmaSource[]> {
    const sources: VmaSource[] = [];
    for (const disk of disks) {
      const path = this.args.volumes.pathOf(disk.volid);
      await access(path).catch((cause: unknown) => {
        throw new Error(`volume '${disk.volid}' does not exist`, { cause });
      });
      const sizeBytes = await this.volumeBytes(disk);
      sources.push({ name: archiveDevice(disk.key), path, format: "raw", sizeBytes });
    }
    this.log.info(`started backup task '${uuid}'`);
    return sources;
  }

  /** Size of a volume. The TPM emulator cuts its file to what it uses, unlike PVE's volumes: that is undone first. */
  private async volumeBytes({ key, volid, size }: GuestDisk): Promise<number> {
    const bytes = await this.args.volumes.sizeOf(volid);
    const whole = key === "tpmstate0" && size !== undefined ? parseDiskSize(size) : bytes;
    if (whole <= bytes) return bytes;
    await truncate(this.args.volumes.pathOf(volid), whole);
    return whole;
  }

  private async copyRunning(
    config: VmConfig,
    disks: readonly GuestDisk[],
    mode: VzdumpMode,
    power: GuestPower,
    uuid: string,
    bytesPerSecond: number,
  ): Promise<VmaSource[]> {
    const qmp = power.qmp();
    const sources: VmaSource[] = [];
    const copied: DiskCopy[] = [];
    for (const disk of disks) {
      const name = archiveDevice(disk.key);
      const sizeBytes = await this.volumeBytes(disk);
      if (disk.key === "tpmstate0") {
        // Not QEMU's but the TPM emulator's, which writes it as a whole.
        sources.push({ name, path: this.args.volumes.pathOf(disk.volid), format: "raw", sizeBytes });
        continue;
      }
      const target = join(this.tmpDir, `${disk.key}.qcow2`);
      sources.push({ name, path: target, format: "qcow2", sizeBytes });
      copied.push({ driveId: this.args.machines.driveId(disk.key), target });
    }
    try {
      const mayFreeze = mode !== "stop" && !power.paused;
      const thaw = mayFreeze ? await freeze(config, this.args.machines.agent(this.vmId), this.log) : undefined;
      try {
        await startCopies(qmp, copied, bytesPerSecond);
      } finally {
        await thaw?.();
      }
      this.log.info(`started backup task '${uuid}'`);
      await power.resume();
      const start = this.now();
      await waitForCopies(qmp, this.context.signal);
      const seconds = (this.now().getTime() - start.getTime()) / 1000;
      this.log.info(
        `copied ${disks.length} disk(s) out of QEMU in ${seconds.toFixed(1)} seconds (the lab's way; PVE streams)`,
      );
    } catch (error) {
      this.log.error(message(error));
      this.log.info("aborting backup job");
      await cancelCopies(qmp).catch((reason: unknown) => this.log.error(message(reason)));
      throw error;
    }
    return sources;
  }

  /** Notes, protection and retention of a finished archive. */
  private async finish(config: VmConfig): Promise<void> {
    const template = this.request.notesTemplate ?? "";
    if (template !== "") {
      this.log.info("adding notes to backup");
      try {
        const notes = renderNotes(template, {
          cluster: this.args.cluster ?? "",
          guestname: config["name"] ?? "",
          node: this.args.node,
          vmid: this.vmId,
        });
        await writeFile(notesPath(this.target), notes);
      } catch (error) {
        this.log.warn(`unable to add notes - ${message(error)}`);
      }
    }
    if (this.request.protected === true) {
      this.log.info("marking backup as protected");
      await writeFile(protectionPath(this.target), "");
    }
    if (this.request.remove === false || keepsAll(this.retention)) return;
    this.log.info(`prune older backups with retention: ${printRetention(this.retention)}`);
    const entries = await pruneArchives({
      dumpDir: this.request.dumpDir,
      storage: this.request.storage,
      retention: this.retention,
      vmId: this.vmId,
      log: this.log.info,
    });
    const pruned = entries.filter((entry) => entry.mark === "remove").length;
    this.log.info(`pruned ${pruned} backup(s)${pruned > 0 ? " not covered by keep-retention policy" : ""}`);
  }
}
