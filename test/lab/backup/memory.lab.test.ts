/** Archives of any size go through a bounded amount of memory, and holes stay holes. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { MemoryPeak } from "./memory-program";
import { MIB } from "./engine-fixture";

jest.setTimeout(120_000);

const PROGRAM = join(__dirname, "memory-program.ts");

test.each(["zstd", "gzip", "lzo", "0"])(
  "an 8 GiB disk with 128 MiB of data passes through 256 MiB of memory, compressed by %s",
  (compress) => {
    const output = execFileSync("node", ["--import", "tsx", PROGRAM, "8", "128", compress], { encoding: "utf8" });
    const peak = JSON.parse(output) as MemoryPeak;
    expect(peak.peakMiB).toBeLessThan(256);
    // The blocks of a file system around each run of data, and no zero that the source did not have.
    expect(peak.restoredBytes).toBeGreaterThanOrEqual(128 * MIB);
    expect(peak.restoredBytes).toBeLessThan(130 * MIB);
  },
);
