/** Which parts of a disk image hold data, and where in its file, so that holes are never read. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CLUSTER_SIZE } from "./format";

/** `qcow2`: uncompressed, without a backing file, with clusters of 64 KiB, as QEMU's `drive-backup` makes it. */
export type ImageFormat = "raw" | "qcow2";

/** A run of 64 KiB clusters with data that lie one after another in the file. */
export interface ClusterRun {
  /** Number of the first cluster on the disk. */
  readonly first: number;
  readonly count: number;
  /** Where the first cluster's data starts in the file, in bytes. */
  readonly fileOffset: number;
}

/** One answer of `qemu-img map`. */
export interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
  /** Absent: no data, or data that is not stored as is. */
  readonly offset?: number;
}

/** Clusters of an image that may hold data, in order; what lies between them is zero. Source: `qemu-img map`. */
export async function dataClusters(imagePath: string, format: ImageFormat): Promise<ClusterRun[]> {
  let output: string;
  try {
    ({ stdout: output } = await promisify(execFile)(
      "qemu-img",
      ["map", "--output=json", "-U", "-f", format, imagePath],
      {
        maxBuffer: 256 * 1024 * 1024,
      },
    ));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `Unable to map the disk image ${imagePath}: ${reason.trim()}. Check that qemu-utils is installed.`,
      {
        cause,
      },
    );
  }
  return mergeToClusters(JSON.parse(output) as MapEntry[], imagePath);
}

/** Widens the data ranges (sorted by start) to whole clusters and joins those that touch on the disk and in the file. */
export function mergeToClusters(entries: readonly MapEntry[], imagePath: string): ClusterRun[] {
  const runs: { first: number; count: number; fileOffset: number }[] = [];
  for (const entry of entries) {
    if (!entry.data || entry.zero) continue;
    const before = entry.start % CLUSTER_SIZE;
    if (entry.offset === undefined || entry.offset < before) {
      throw new Error(
        `Unable to read the disk image ${imagePath}: its data at ${entry.start} is compressed or not aligned. ` +
          `Convert it with qemu-img convert.`,
      );
    }
    const first = Math.floor(entry.start / CLUSTER_SIZE);
    const end = Math.ceil((entry.start + entry.length) / CLUSTER_SIZE);
    const fileOffset = entry.offset - before;
    const last = runs.at(-1);
    const continues = last !== undefined && fileOffset - last.fileOffset === (first - last.first) * CLUSTER_SIZE;
    if (last !== undefined && first <= last.first + last.count && continues) {
      last.count = Math.max(last.count, end - last.first);
    } else {
      runs.push({ first, count: end - first, fileOffset });
    }
  }
  return runs;
}
