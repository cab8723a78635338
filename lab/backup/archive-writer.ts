/** Disks to archive file: VMA writer, compressor, and the file on the storage, which may be full. */
import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { compress, compressCommand, type Compression } from "../vma/compression";
import { type VmaConfigBlob } from "../vma/format";
import { type VmaSource, type VmaWriteProgress, writeVma } from "../vma/writer";

export interface ArchiveWriteArgs {
  /** File to write; an existing one is replaced. */
  readonly path: string;
  readonly compression: Compression;
  /** 0 is half of the processors. */
  readonly zstdThreads: number;
  readonly uuid: Buffer;
  /** Seconds since the epoch. */
  readonly ctime: number;
  readonly configs: readonly VmaConfigBlob[];
  readonly sources: readonly VmaSource[];
  readonly signal: AbortSignal;
  /** Bytes per second read from the disks; 0 is unlimited. */
  readonly bytesPerSecond: number;
  /** Space on the storage in bytes; undefined is unlimited. */
  readonly availableBytes: number | undefined;
  readonly onProgress: (progress: VmaWriteProgress) => void;
}

class SpaceLimit extends Transform {
  private written = 0;

  constructor(private readonly availableBytes: number) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.written += chunk.length;
    if (this.written > this.availableBytes) callback(new Error("No space left on device"));
    else callback(null, chunk);
  }
}

/** A new archive's id as bytes. */
export function newArchiveUuid(): Buffer {
  const uuid = randomBytes(16);
  uuid.writeUInt8((uuid.readUInt8(6) & 0x0f) | 0x40, 6);
  uuid.writeUInt8((uuid.readUInt8(8) & 0x3f) | 0x80, 8);
  return uuid;
}

/** `8-4-4-4-12` */
export function printUuid(uuid: Buffer): string {
  return uuid.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function isSpaceError(error: unknown): boolean {
  return error instanceof Error && /No space left on device|ENOSPC/.test(error.message);
}

/** Writes the archive. Rejects with PVE's text for a failed compressor, also when the storage is full; the file may be half made then. */
export async function writeArchive(args: ArchiveWriteArgs): Promise<VmaWriteProgress> {
  const pipe = compress(args.compression, args.zstdThreads);
  const file = createWriteStream(args.path);
  const sink = (
    args.availableBytes === undefined
      ? pipeline(pipe.output, file)
      : pipeline(pipe.output, new SpaceLimit(args.availableBytes), file)
  ).catch((error: unknown) => {
    pipe.kill();
    throw error;
  });
  sink.catch(() => undefined); // awaited below
  const start = performance.now();
  let read = 0;
  try {
    const result = await writeVma({
      output: pipe.input,
      uuid: args.uuid,
      ctime: args.ctime,
      configs: args.configs,
      sources: args.sources,
      signal: args.signal,
      onProgress: async (progress, readBytes) => {
        read += readBytes;
        args.onProgress(progress);
        if (args.bytesPerSecond > 0) {
          const ahead = (read / args.bytesPerSecond) * 1000 - (performance.now() - start);
          if (ahead > 0) await delay(ahead, undefined, { signal: args.signal });
        }
      },
    });
    pipe.input.end();
    await sink;
    await pipe.finished;
    return result;
  } catch (error) {
    pipe.kill();
    const cause = await sink.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (isSpaceError(cause)) {
      const command = compressCommand(args.compression, args.zstdThreads).join(" ") || "cat";
      throw new Error(`${command} failed - wrong exit status 1: No space left on device`, { cause });
    }
    throw error;
  }
}
