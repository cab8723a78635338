/** The files that the emulated node can reach: those of the lab's specification, and nothing else. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, link, rename, rm, stat } from "node:fs/promises";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { type LabSpec } from "./spec";
import { type TaskContext } from "./types";

/** @throws Error naming what can be reached. */
export function findDownload(spec: LabSpec, url: string): string {
  const found = spec.downloads.find((download) => download.url === url);
  if (found === undefined)
    throw new Error(
      `Unable to download '${url}': the lab's node reaches no network. Add the file to the lab's downloads; it has ${spec.downloads.map((one) => `'${one.url}'`).join(", ") || "none"}.`,
    );
  return found.file;
}

/** What a web server would say of the file. */
export async function describeDownload(
  spec: LabSpec,
  url: string,
): Promise<{ filename: string; size: number; mimetype: string }> {
  const { size } = await stat(findDownload(spec, url));
  return { filename: basename(new URL(url).pathname), size, mimetype: "application/octet-stream" };
}

export interface DownloadRequest {
  readonly url: string;
  readonly source: string;
  readonly target: string;
  /** The target as PVE would name it in its log. */
  readonly targetLabel: string;
  readonly checksum?: { readonly algorithm: string; readonly value: string };
}

/** Work of a `download` task: fetches beside the target, checks the checksum, moves into place. */
export async function download(
  { url, source, target, targetLabel, checksum }: DownloadRequest,
  { log, signal }: TaskContext,
): Promise<void> {
  const temporary = `${target}.tmp_dwnl.${process.pid}`;
  log(`downloading ${url} to ${targetLabel}`);
  try {
    await rm(temporary, { force: true });
    // Images are never written to, so sharing the file with the cache is as good as a copy of it.
    await link(source, temporary).catch(async () => copyFile(source, temporary));
    if (checksum !== undefined) {
      const hash = createHash(checksum.algorithm);
      await pipeline(createReadStream(temporary, { highWaterMark: 1024 * 1024 }), hash, { signal });
      const got = hash.digest("hex");
      if (got !== checksum.value.toLowerCase())
        throw new Error(`checksum mismatch: got '${got}' != expect '${checksum.value}'`);
      log("calculating checksum...OK, checksum verified");
    }
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
  log(`download of '${url}' to '${targetLabel}' finished`);
}
