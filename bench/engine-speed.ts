/**
 * Speed of the lab's backup engine against the obvious tools on the same disk: `qemu-img convert` and `zstd` for a backup,
 * `zstd -d` and `qemu-img convert` for a restore. The guest is stopped, so that nothing but the engine is measured.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { EngineFixture, MIB, noise, noMachines } from "../test/lab/backup/engine-fixture";
import { type Log, run } from "../toolchain/process";
import { type Line } from "./measurement";

const DISK_MIB = 2048;
/** Written part of the disk: one half does not compress, the other compresses well; the rest is a hole. */
const DATA_MIB = 768;
const RUNS = 3;
/** Of the tools' speed, from the project's requirements. */
const TARGET = { atLeast: 0.6 };

/** Measures backup and restore, each the best of some runs taken in turns, so that both meet the same load. */
export async function measureEngine(log: Log): Promise<Line[]> {
  const fixture = new EngineFixture(() => noMachines);
  try {
    const disk = await fixture.volumes.allocateDisk("local-lvm", 200, DISK_MIB * MIB);
    writeData(fixture, disk);
    fixture.configs.set(200, `name: bench\nscsi0: ${disk},size=${DISK_MIB}M\n`);
    const seconds = { backup: Infinity, restore: Infinity, convert: Infinity, convertBack: Infinity };
    for (let index = 1; index <= RUNS; index++) {
      log(`backup and restore of ${DATA_MIB} MiB, run ${index} of ${RUNS} …`);
      const tools = await runTools(fixture, disk);
      const engine = await runEngine(fixture);
      seconds.convert = Math.min(seconds.convert, tools.backup);
      seconds.convertBack = Math.min(seconds.convertBack, tools.restore);
      seconds.backup = Math.min(seconds.backup, engine.backup);
      seconds.restore = Math.min(seconds.restore, engine.restore);
    }
    return [
      ratio("backup, speed against `qemu-img convert` and `zstd`", seconds.convert, seconds.backup),
      ratio("restore, speed against `zstd -d` and `qemu-img convert`", seconds.convertBack, seconds.restore),
    ];
  } finally {
    fixture.remove();
  }
}

function ratio(what: string, tools: number, engine: number): Line {
  const detail = `${DATA_MIB} MiB on a disk of ${DISK_MIB} MiB: ${engine.toFixed(2)} s, the tools ${tools.toFixed(2)} s; best of ${RUNS}`;
  return { what, value: tools / engine, unit: "x", target: TARGET, detail };
}

function writeData(fixture: EngineFixture, disk: string): void {
  const line = Buffer.from("2026-01-01T00:00:00Z a line of a log as it stands in many places of a disk\n");
  const text = Buffer.alloc(MIB, line);
  for (let index = 0; index < DATA_MIB; index++) {
    // Spread out, as files are: an extent of one MiB, then a hole.
    const offset = Math.floor((index * DISK_MIB) / DATA_MIB) * MIB;
    fixture.volumes.write(disk, offset, index % 2 === 0 ? noise(MIB, index % 256) : text);
  }
}

interface Pair {
  readonly backup: number;
  readonly restore: number;
}

async function runEngine(fixture: EngineFixture): Promise<Pair> {
  const backup = await timed(() => fixture.backup({ compress: "zstd" }, fixture.context()));
  const archive = fixture.archive();
  let restored: string | undefined;
  const restore = await timed(async () => {
    const config = await fixture.restore({ archivePath: archive, storage: "local-lvm" }, fixture.context());
    restored = config["scsi0"]?.split(",")[0];
  });
  if (restored === undefined) throw new Error("Unable to measure the restore: the disk scsi0 did not come back.");
  await fixture.volumes.free(restored);
  await rm(fixture.dumpDir, { recursive: true });
  return { backup, restore };
}

async function runTools(fixture: EngineFixture, disk: string): Promise<Pair> {
  const source = fixture.volumes.pathOf(disk);
  const raw = join(fixture.dir, "converted.raw");
  const compressed = `${raw}.zst`;
  const back = join(fixture.dir, "decompressed.raw");
  const target = join(fixture.dir, "restored.raw");
  const backup = await timed(async () => {
    await run("qemu-img", ["convert", "-f", "raw", "-O", "raw", source, raw]);
    await run("zstd", ["-q", "--threads=1", raw, "-o", compressed]);
  });
  const restore = await timed(async () => {
    await run("zstd", ["-q", "-d", compressed, "-o", back]);
    await run("qemu-img", ["convert", "-f", "raw", "-O", "raw", back, target]);
  });
  for (const file of [raw, compressed, back, target]) await rm(file);
  return { backup, restore };
}

/** Seconds that it took. */
async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
