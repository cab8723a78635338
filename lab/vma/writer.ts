/** Streams disk images into a VMA archive. Memory is bounded by two extents and two read chunks, whatever the disks' size. */
import { type FileHandle, open } from "node:fs/promises";
import { type Writable } from "node:stream";
import { type ClusterRun, dataClusters, type ImageFormat } from "./extents";
import {
  BLOCK_SIZE,
  BLOCKS_PER_CLUSTER,
  CLUSTER_SIZE,
  clusterCount,
  CLUSTERS_PER_EXTENT,
  encodeExtentHeader,
  encodeHeader,
  EXTENT_HEADER_SIZE,
  MAX_EXTENT_SIZE,
  type VmaBlockInfo,
  type VmaConfigBlob,
} from "./format";

const CHUNK_CLUSTERS = 16;
const ZERO_BLOCK = Buffer.alloc(BLOCK_SIZE);

/** A disk image that becomes one device of the archive. Nobody may write to it meanwhile. */
export interface VmaSource {
  /** `drive-scsi0` */
  readonly name: string;
  readonly path: string;
  readonly format: ImageFormat;
  /** The device's size; a file that ends before its data is an error. */
  readonly sizeBytes: number;
}

export interface VmaWriteProgress {
  /** Bytes of the devices handled so far, holes included. */
  readonly transferredBytes: number;
  readonly totalBytes: number;
  /** Bytes that were not stored because they are zero. */
  readonly zeroBytes: number;
}

export interface VmaWriteArgs {
  /** Must be done with a chunk's bytes when it calls back (a pipe, a file, a compressor): buffers are reused. */
  readonly output: Writable;
  /** 16 random bytes. */
  readonly uuid: Buffer;
  /** Seconds since the epoch. */
  readonly ctime: number;
  readonly configs: readonly VmaConfigBlob[];
  readonly sources: readonly VmaSource[];
  readonly signal?: AbortSignal;
  /** Called after each chunk; may wait, for example to keep a bandwidth limit on `readBytes` bytes. */
  readonly onProgress?: (progress: VmaWriteProgress, readBytes: number) => void | Promise<void>;
}

function write(output: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(bytes, (error) => {
      if (error == null) resolve();
      else reject(error);
    });
  });
}

/** Fills extents and hands them to the stream; while one is being written, the other is filled. */
class ExtentWriter {
  private readonly buffers: [Buffer, Buffer] = [Buffer.alloc(MAX_EXTENT_SIZE), Buffer.alloc(MAX_EXTENT_SIZE)];
  private current: 0 | 1 = 0;
  private pending: Promise<void> = Promise.resolve();
  private position = EXTENT_HEADER_SIZE;
  private blocks: VmaBlockInfo[] = [];

  constructor(
    private readonly output: Writable,
    private readonly uuid: Buffer,
  ) {}

  /** `flush` is due before the next `add`. */
  get full(): boolean {
    return this.blocks.length === CLUSTERS_PER_EXTENT;
  }

  /** Adds one cluster; `data` undefined is a hole. Returns its zero bytes. `validBlocks`: blocks that lie within the device. */
  add(deviceId: number, cluster: number, data: Buffer | undefined, validBlocks: number): number {
    let mask = 0;
    let stored = 0;
    if (data !== undefined) {
      const buffer = this.buffers[this.current];
      for (let block = 0; block < validBlocks; block++) {
        const start = block * BLOCK_SIZE;
        if (data.compare(ZERO_BLOCK, 0, BLOCK_SIZE, start, start + BLOCK_SIZE) === 0) continue;
        mask |= 1 << block;
        stored++;
        data.copy(buffer, this.position, start, start + BLOCK_SIZE);
        this.position += BLOCK_SIZE;
      }
    }
    this.blocks.push({ deviceId, cluster, mask });
    return (validBlocks - stored) * BLOCK_SIZE;
  }

  async flush(): Promise<void> {
    if (this.blocks.length > 0) {
      const buffer = this.buffers[this.current];
      encodeExtentHeader(buffer, this.uuid, this.blocks, (this.position - EXTENT_HEADER_SIZE) / BLOCK_SIZE);
      await this.pending; // the other buffer is free now
      this.pending = write(this.output, buffer.subarray(0, this.position));
      this.pending.catch(() => undefined); // reported by the next await
      this.current = this.current === 0 ? 1 : 0;
      this.position = EXTENT_HEADER_SIZE;
      this.blocks = [];
    }
  }

  async finish(): Promise<void> {
    await this.flush();
    await this.pending;
  }
}

interface Chunk {
  readonly first: number;
  readonly count: number;
  readonly data: Buffer;
  readonly readBytes: number;
}

/** Reads the runs in chunks, one ahead. The file's last cluster is padded with zeros. */
async function* readChunks(file: FileHandle, source: VmaSource, runs: readonly ClusterRun[]): AsyncGenerator<Chunk> {
  const buffers = [Buffer.alloc(CHUNK_CLUSTERS * CLUSTER_SIZE), Buffer.alloc(CHUNK_CLUSTERS * CLUSTER_SIZE)] as const;
  const pieces = runs.flatMap((run) => {
    const result: ClusterRun[] = [];
    for (let first = run.first; first < run.first + run.count; first += CHUNK_CLUSTERS) {
      result.push({
        first,
        count: Math.min(CHUNK_CLUSTERS, run.first + run.count - first),
        fileOffset: run.fileOffset + (first - run.first) * CLUSTER_SIZE,
      });
    }
    return result;
  });
  const read = async (piece: ClusterRun, data: Buffer): Promise<Chunk> => {
    const start = piece.first * CLUSTER_SIZE;
    const wanted = Math.min(piece.count * CLUSTER_SIZE, source.sizeBytes - start);
    let done = 0;
    while (done < wanted) {
      const { bytesRead } = await file.read(data, done, wanted - done, piece.fileOffset + done);
      if (bytesRead === 0) {
        throw new Error(
          `Unable to read ${source.name} from ${source.path}: it ends at ${start + done} of ${source.sizeBytes} bytes. ` +
            `Check whether the volume was resized meanwhile.`,
        );
      }
      done += bytesRead;
    }
    data.fill(0, wanted, piece.count * CLUSTER_SIZE);
    return { first: piece.first, count: piece.count, data, readBytes: wanted };
  };
  let next: Promise<Chunk> | undefined;
  for (let index = 0; index < pieces.length; index++) {
    const piece = pieces[index];
    if (piece === undefined) break;
    const chunk = await (next ?? read(piece, buffers[0]));
    const following = pieces[index + 1];
    next = following === undefined ? undefined : read(following, buffers[index % 2 === 0 ? 1 : 0]);
    next?.catch(() => undefined); // reported when it is awaited
    yield chunk;
  }
}

/** Blocks of a cluster that lie within the device, the last one perhaps partly. */
function validBlocks(sizeBytes: number, cluster: number): number {
  return Math.min(BLOCKS_PER_CLUSTER, Math.ceil((sizeBytes - cluster * CLUSTER_SIZE) / BLOCK_SIZE));
}

/**
 * Writes the whole archive and leaves the stream open. Every cluster of every device is named, zero ones without data, as
 * Proxmox's reader demands. Rejects with the stream's error, the abort reason, or what could not be read.
 */
export async function writeVma(args: VmaWriteArgs): Promise<VmaWriteProgress> {
  const totalBytes = args.sources.reduce((sum, source) => sum + source.sizeBytes, 0);
  let transferredBytes = 0;
  let zeroBytes = 0;
  await write(
    args.output,
    encodeHeader({
      uuid: args.uuid,
      ctime: args.ctime,
      configs: args.configs,
      devices: args.sources.map((source, index) => ({ id: index + 1, name: source.name, sizeBytes: source.sizeBytes })),
    }),
  );
  const extents = new ExtentWriter(args.output, args.uuid);
  for (const [index, source] of args.sources.entries()) {
    const deviceId = index + 1;
    const add = (cluster: number, data: Buffer | undefined): void => {
      zeroBytes += extents.add(deviceId, cluster, data, validBlocks(source.sizeBytes, cluster));
      transferredBytes += Math.min(CLUSTER_SIZE, source.sizeBytes - cluster * CLUSTER_SIZE);
    };
    const clusters = clusterCount(source.sizeBytes);
    const runs = (await dataClusters(source.path, source.format))
      .filter((run) => run.first < clusters)
      .map((run) => ({ ...run, count: Math.min(run.count, clusters - run.first) }));
    const file = await open(source.path, "r");
    try {
      let next = 0;
      for await (const chunk of readChunks(file, source, runs)) {
        args.signal?.throwIfAborted();
        while (next < chunk.first) {
          add(next++, undefined);
          if (extents.full) await extents.flush();
        }
        for (let offset = 0; offset < chunk.count; offset++) {
          add(next++, chunk.data.subarray(offset * CLUSTER_SIZE, (offset + 1) * CLUSTER_SIZE));
          if (extents.full) await extents.flush();
        }
        await args.onProgress?.({ transferredBytes, totalBytes, zeroBytes }, chunk.readBytes);
      }
      while (next < clusters) {
        add(next++, undefined);
        if (extents.full) await extents.flush();
      }
    } finally {
      await file.close();
    }
  }
  await extents.finish();
  const result = { transferredBytes, totalBytes, zeroBytes };
  await args.onProgress?.(result, 0);
  return result;
}
