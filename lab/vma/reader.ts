/** Reads a VMA archive as a stream: header first, then the devices' data into files. Memory is bounded by two extents. */
import { type FileHandle } from "node:fs/promises";
import {
  BLOCK_SIZE,
  BLOCKS_PER_CLUSTER,
  CLUSTER_SIZE,
  clusterCount,
  decodeExtentHeader,
  decodeHeader,
  EXTENT_HEADER_SIZE,
  FIXED_HEADER_SIZE,
  headerSize,
  MAX_EXTENT_SIZE,
  type VmaBlockInfo,
  type VmaDevice,
  VmaError,
  type VmaHeader,
} from "./format";

/** Takes exact numbers of bytes from a stream of chunks. */
class ByteReader {
  private readonly chunks: AsyncIterator<Buffer>;
  private chunk: Buffer = Buffer.alloc(0);

  constructor(input: AsyncIterable<Buffer>) {
    this.chunks = input[Symbol.asyncIterator]();
  }

  /** Fills `target` and returns how much of it could be filled before the end of the stream. */
  async fill(target: Buffer): Promise<number> {
    let done = 0;
    while (done < target.length) {
      if (this.chunk.length === 0) {
        const next = await this.chunks.next();
        if (next.done === true) break;
        this.chunk = next.value;
        continue;
      }
      const taken = this.chunk.copy(target, done);
      this.chunk = this.chunk.subarray(taken);
      done += taken;
    }
    return done;
  }
}

export interface VmaReadProgress {
  readonly clustersRead: number;
  /** Whole clusters of all devices, as Proxmox counts them for its percentage. */
  readonly clusterCount: number;
}

export interface VmaReadResult {
  readonly clustersRead: number;
  /** Bytes of clusters that are zero as a whole. */
  readonly zeroClusterBytes: number;
  /** Zero bytes within clusters that hold data. */
  readonly zeroBlockBytes: number;
}

export interface VmaRestoreArgs {
  /** Raw images, open for writing and zero (sparse) at the device's size, by device id. */
  readonly targets: ReadonlyMap<number, FileHandle>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: VmaReadProgress) => void;
}

/** An opened archive: its header is read and verified. */
export interface VmaReader {
  readonly header: VmaHeader;
  /** Writes all data into the targets. Rejects with a `VmaError` for damage, after which the targets are of no use. */
  restore(args: VmaRestoreArgs): Promise<VmaReadResult>;
}

/** Progress and completeness of one device. */
class DeviceState {
  private readonly seen: Uint8Array;
  readonly clusters: number;

  constructor(
    readonly device: VmaDevice,
    readonly target: FileHandle,
  ) {
    this.clusters = clusterCount(device.sizeBytes);
    this.seen = new Uint8Array(Math.ceil(this.clusters / 8));
  }

  mark(cluster: number): void {
    if (cluster >= this.clusters) throw new VmaError("got wrong block address - write bejond end");
    const byte = cluster >> 3;
    const bit = 1 << (cluster & 7);
    const value = this.seen[byte] ?? 0;
    if ((value & bit) !== 0) {
      throw new VmaError(`found duplicated cluster ${cluster} for stream ${this.device.name}`);
    }
    this.seen[byte] = value | bit;
  }

  verifyComplete(): void {
    for (let cluster = 0; cluster < this.clusters; cluster++) {
      if (((this.seen[cluster >> 3] ?? 0) & (1 << (cluster & 7))) === 0) {
        throw new VmaError(`detected missing cluster ${cluster} for stream ${this.device.name}`);
      }
    }
  }
}

/** Bytes of an extent that follow each other both in the archive and on the disk. */
interface Run {
  readonly state: DeviceState;
  readonly position: number;
  readonly start: number;
  length: number;
}

function bitCount(mask: number): number {
  let count = 0;
  for (let bits = mask; bits !== 0; bits &= bits - 1) count++;
  return count;
}

class Restore {
  private readonly states = new Map<number, DeviceState>();
  private readonly total: number;
  private clustersRead = 0;
  private zeroClusterBytes = 0;
  private zeroBlockBytes = 0;

  constructor(
    private readonly header: VmaHeader,
    private readonly args: VmaRestoreArgs,
  ) {
    for (const device of header.devices) {
      const target = args.targets.get(device.id);
      if (target === undefined) throw new VmaError(`no target for device '${device.name}'`);
      this.states.set(device.id, new DeviceState(device, target));
    }
    this.total = Math.max(
      1,
      header.devices.reduce((sum, device) => sum + Math.floor(device.sizeBytes / CLUSTER_SIZE), 0),
    );
  }

  /** Turns an extent's clusters into runs, and checks them. */
  private plan(blocks: readonly VmaBlockInfo[], blockCount: number): Run[] {
    const runs: Run[] = [];
    let start = 0;
    for (const { deviceId, cluster, mask } of blocks) {
      const state = this.states.get(deviceId);
      if (state === undefined) throw new VmaError(`got wrong dev id ${deviceId}`);
      state.mark(cluster);
      this.clustersRead++;
      if (mask === 0) this.zeroClusterBytes += CLUSTER_SIZE;
      else this.zeroBlockBytes += (BLOCKS_PER_CLUSTER - bitCount(mask)) * BLOCK_SIZE;
      for (let block = 0; block < BLOCKS_PER_CLUSTER; block++) {
        if ((mask & (1 << block)) === 0) continue;
        const position = cluster * CLUSTER_SIZE + block * BLOCK_SIZE;
        const length = Math.min(BLOCK_SIZE, state.device.sizeBytes - position);
        if (length <= 0) throw new VmaError("got wrong block address - write bejond end");
        const last = runs.at(-1);
        if (last?.state === state && last.position + last.length === position && last.start + last.length === start) {
          last.length += length;
        } else {
          runs.push({ state, position, start, length });
        }
        start += BLOCK_SIZE;
      }
    }
    if (start > blockCount * BLOCK_SIZE) throw new VmaError("short vma extent - too many blocks");
    if (start < blockCount * BLOCK_SIZE) throw new VmaError("vma extent error - missing blocks");
    return runs;
  }

  private async writeRuns(runs: readonly Run[], data: Buffer): Promise<void> {
    for (const run of runs) {
      let done = 0;
      while (done < run.length) {
        const { bytesWritten } = await run.state.target.write(
          data,
          run.start + done,
          run.length - done,
          run.position + done,
        );
        done += bytesWritten;
      }
    }
  }

  async run(input: ByteReader): Promise<VmaReadResult> {
    const buffers = [Buffer.alloc(MAX_EXTENT_SIZE), Buffer.alloc(MAX_EXTENT_SIZE)] as const;
    let pending: Promise<void> = Promise.resolve();
    try {
      for (let index = 0; ; index++) {
        this.args.signal?.throwIfAborted();
        const buffer = buffers[index % 2 === 0 ? 0 : 1];
        const header = buffer.subarray(0, EXTENT_HEADER_SIZE);
        const got = await input.fill(header);
        if (got === 0) break;
        if (got < EXTENT_HEADER_SIZE) throw new VmaError(`read short extent (${got} bytes)`);
        const { blocks, blockCount } = decodeExtentHeader(header, this.header.uuid);
        const data = buffer.subarray(EXTENT_HEADER_SIZE, EXTENT_HEADER_SIZE + blockCount * BLOCK_SIZE);
        const filled = await input.fill(data);
        if (filled < data.length) {
          throw new VmaError(`short vma extent (${EXTENT_HEADER_SIZE + filled} < ${EXTENT_HEADER_SIZE + data.length})`);
        }
        const runs = this.plan(blocks, blockCount);
        await pending; // then the other buffer is free
        pending = this.writeRuns(runs, data);
        pending.catch(() => undefined); // reported by the next await
        this.args.onProgress?.({ clustersRead: this.clustersRead, clusterCount: this.total });
      }
    } finally {
      await pending;
    }
    for (const state of this.states.values()) state.verifyComplete();
    return {
      clustersRead: this.clustersRead,
      zeroClusterBytes: this.zeroClusterBytes,
      zeroBlockBytes: this.zeroBlockBytes,
    };
  }
}

/** Reads and verifies the header. Rejects with a `VmaError` for another kind of file or a damaged header. */
export async function openVma(input: AsyncIterable<Buffer>): Promise<VmaReader> {
  const bytes = new ByteReader(input);
  const fixed = Buffer.alloc(FIXED_HEADER_SIZE);
  if ((await bytes.fill(fixed)) < FIXED_HEADER_SIZE) throw new VmaError("can't read vma header - got EOF");
  const rest = Buffer.alloc(headerSize(fixed) - FIXED_HEADER_SIZE);
  if ((await bytes.fill(rest)) < rest.length) throw new VmaError("can't read vma header data - got EOF");
  const header = decodeHeader(Buffer.concat([fixed, rest]));
  return { header, restore: (args) => new Restore(header, args).run(bytes) };
}
