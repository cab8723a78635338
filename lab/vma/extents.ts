/** Which parts of a raw disk image hold data, so that holes are never read. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CLUSTER_SIZE } from "./format";

/** A run of 64 KiB clusters with data. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

interface MapEntry {
  start: number;
  length: number;
  data: boolean;
  zero: boolean;
}

/** Clusters of a raw image that may hold data, in order; what lies between them is zero. Source: `qemu-img map` (SEEK_DATA). */
export async function dataClusters(imagePath: string): Promise<ClusterRun[]> {
  let output: string;
  try {
    ({ stdout: output } = await promisify(execFile)(
      "qemu-img",
      ["map", "--output=json", "-U", "-f", "raw", imagePath],
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
  const entries = JSON.parse(output) as MapEntry[];
  return mergeToClusters(entries.filter((entry) => entry.data && !entry.zero));
}

/** Widens byte ranges (sorted by start) to whole clusters and joins those that touch. */
export function mergeToClusters(ranges: readonly { start: number; length: number }[]): ClusterRun[] {
  const runs: { first: number; count: number }[] = [];
  for (const range of ranges) {
    const first = Math.floor(range.start / CLUSTER_SIZE);
    const end = Math.ceil((range.start + range.length) / CLUSTER_SIZE);
    const last = runs.at(-1);
    if (last !== undefined && first <= last.first + last.count) {
      last.count = Math.max(last.count, end - last.first);
    } else {
      runs.push({ first, count: end - first });
    }
  }
  return runs;
}
