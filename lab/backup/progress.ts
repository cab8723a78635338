/** vzdump's progress lines. Source: qemu-server `$query_backup_status_loop`. */
import { type VmaWriteProgress } from "../vma/writer";
import { renderBytes, renderDuration, renderRate } from "./render";
import { type VzdumpLog } from "./vzdump-log";

/** A line when the percentage has changed and the last one is more than two seconds old, and the sums at the end. */
export class BackupProgress {
  private readonly start: number;
  private lastTime: number;
  private lastPercent = -1;
  private last: VmaWriteProgress | undefined;

  constructor(
    private readonly log: VzdumpLog,
    private readonly now: () => Date,
  ) {
    this.start = now().getTime();
    this.lastTime = this.start;
  }

  private line(status: VmaWriteProgress, percent: number, time: number): void {
    const seconds = (time - this.lastTime) / 1000;
    const read = status.transferredBytes - (this.last?.transferredBytes ?? 0);
    const written = read - (status.zeroBytes - (this.last?.zeroBytes ?? 0));
    this.log.info(
      `${String(percent).padStart(3)}% (${renderBytes(status.transferredBytes, 1)} of ${renderBytes(status.totalBytes, 1)})` +
        ` in ${renderDuration((time - this.start) / 1000)}` +
        `, read: ${renderRate(read, seconds)}, write: ${renderRate(written, seconds)}`,
    );
    this.last = status;
    this.lastPercent = percent;
    this.lastTime = time;
  }

  report(status: VmaWriteProgress): void {
    const percent = Math.floor((status.transferredBytes * 100) / status.totalBytes);
    const time = this.now().getTime();
    if (percent !== this.lastPercent && time - this.lastTime > 2000) this.line(status, percent, time);
  }

  finish(status: VmaWriteProgress): void {
    const time = this.now().getTime();
    if (this.lastPercent < 100) this.line(status, 100, time);
    if (status.zeroBytes > 0) {
      const percent = Math.floor((status.zeroBytes * 100) / status.totalBytes);
      this.log.info(`backup is sparse: ${renderBytes(status.zeroBytes)} (${percent}%) total zero data`);
    }
    const seconds = Math.floor((time - this.start) / 1000);
    const transferred = renderBytes(status.transferredBytes);
    this.log.info(
      seconds > 0
        ? `transferred ${transferred} in ${seconds} seconds (${renderRate(status.transferredBytes / seconds, 1)})`
        : `transferred ${transferred} in <1 seconds`,
    );
  }
}
