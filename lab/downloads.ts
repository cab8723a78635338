/** The files that the emulated node can reach: those of the lab's specification, and nothing else. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { basename } from "node:path";
import { Transform } from "node:stream";
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
  readonly checksum?: { readonly algorithm: string; readonly value: string };
}

/** Work of a `download` task: copies, checks the checksum, moves into place. */
export async function download(
  { url, source, target, checksum }: DownloadRequest,
  { log, signal }: TaskContext,
): Promise<void> {
  const temporary = `${target}.tmp_dwnl.${process.pid}`;
  log(`downloading ${url} to ${target}`);
  const hash = createHash(checksum?.algorithm ?? "sha256");
  try {
    const observe = new Transform({
      transform(chunk: Buffer, _encoding, done): void {
        hash.update(chunk);
        done(undefined, chunk);
      },
    });
    await pipeline(createReadStream(source), observe, createWriteStream(temporary), { signal });
    if (checksum !== undefined) {
      const got = hash.digest("hex");
      if (got !== checksum.value.toLowerCase())
        throw new Error(`checksum mismatch: got '${got}' != expect '${checksum.value}'`);
      log(`calculating checksum...OK, checksum verified`);
    }
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
  log(`download of '${url}' to '${target}' finished`);
}
