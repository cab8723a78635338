/**
 * Backs up a stopped guest and restores the archive in a process of its own, so that its peak of memory can be measured:
 * `memory-program.ts <disk GiB> <data MiB> <compress>`. Prints one JSON line.
 */
import { readFileSync, statSync } from "node:fs";
import { EngineFixture, MIB, noise, noMachines } from "./engine-fixture";

/** What one run took. */
export interface MemoryPeak {
  /** Largest resident memory of this process, MiB. Source: proc(5), `VmHWM`. */
  readonly peakMiB: number;
  /** The same before any archive was touched. */
  readonly idleMiB: number;
  /** Bytes that the restored disk takes. */
  readonly restoredBytes: number;
  readonly archiveBytes: number;
  readonly backupSeconds: number;
  readonly restoreSeconds: number;
}

function peakMiB(): number {
  const [, kib = "0"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Math.round(Number(kib) / 1024);
}

async function main([diskGiB = "8", dataMiB = "256", compress = "zstd"]: readonly string[]): Promise<MemoryPeak> {
  const fixture = new EngineFixture(() => noMachines);
  try {
    const disk = await fixture.volumes.allocateDisk("local-lvm", 200, Number(diskGiB) * 1024 * MIB);
    const data = Number(dataMiB);
    const step = Math.floor((Number(diskGiB) * 1024) / data);
    const block = noise(MIB, 7);
    for (let index = 0; index < data; index++) fixture.volumes.write(disk, index * step * MIB, block);
    fixture.configs.set(200, `name: docker\nscsi0: ${disk},size=${diskGiB}G\n`);
    const idleMiB = peakMiB();
    const start = performance.now();
    await fixture.backup({ compress: compress as "zstd" | "gzip" | "lzo" | "0" }, fixture.context());
    const backedUp = performance.now();
    const archive = fixture.archive();
    const config = await fixture.restore({ archivePath: archive, storage: "local-lvm" }, fixture.context());
    const restored = performance.now();
    const path = fixture.volumes.pathOf((config["scsi0"] ?? "").split(",")[0] ?? "");
    return {
      peakMiB: peakMiB(),
      idleMiB,
      restoredBytes: statSync(path).blocks * 512,
      archiveBytes: statSync(archive).size,
      backupSeconds: (backedUp - start) / 1000,
      restoreSeconds: (restored - backedUp) / 1000,
    };
  } finally {
    fixture.remove();
  }
}

main(process.argv.slice(2)).then(
  (peak) => process.stdout.write(`${JSON.stringify(peak)}\n`),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
  },
);
