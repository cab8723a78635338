/**
 * Layout of Proxmox's VMA archives, version 1: a header with the guest's configuration and its devices, then extents of up
 * to 59 clusters of 64 KiB in which only non-zero 4 KiB blocks are stored. Big endian, but for the blobs' lengths.
 * Source: `vma_spec.txt`, `vma-writer.c` and `vma-reader.c` of proxmox/pve-qemu.
 */
import { createHash } from "node:crypto";

export const BLOCK_SIZE = 4096;
export const CLUSTER_SIZE = 65536;
export const BLOCKS_PER_CLUSTER = CLUSTER_SIZE / BLOCK_SIZE;
export const CLUSTERS_PER_EXTENT = 59;
export const EXTENT_HEADER_SIZE = 512;
export const MAX_EXTENT_SIZE = EXTENT_HEADER_SIZE + CLUSTERS_PER_EXTENT * CLUSTER_SIZE;

/** Length of the header's fixed part; the blobs follow it. */
export const FIXED_HEADER_SIZE = 12288;
/** Longest header that Proxmox's writer makes (8 clusters); longer ones are refused rather than read into memory. */
export const MAX_HEADER_SIZE = 8 * CLUSTER_SIZE;
/** Device ids are 1 to 254 in Proxmox's writer; its reader knows 255. */
export const MAX_DEVICES = 255;
export const MAX_CONFIGS = 256;

const HEADER_MAGIC = 0x564d4100; // "VMA\0"
const EXTENT_MAGIC = 0x564d4145; // "VMAE"
const VERSION = 1;
const CONFIG_NAMES_OFFSET = 2044;
const CONFIG_DATA_OFFSET = 3068;
const DEVICE_INFO_OFFSET = 4096;
const DEVICE_INFO_SIZE = 32;
const HEADER_MD5_OFFSET = 32;
const EXTENT_MD5_OFFSET = 24;
const BLOCK_INFO_OFFSET = 40;

/** An archive that breaks the format. The message is Proxmox's where it has one, so that logs compare. */
export class VmaError extends Error {
  override readonly name = "VmaError";
}

export interface VmaDevice {
  /** 1 to 255. */
  readonly id: number;
  /** `drive-scsi0` */
  readonly name: string;
  readonly sizeBytes: number;
}

export interface VmaConfigBlob {
  /** `qemu-server.conf`, `qemu-server.fw` */
  readonly name: string;
  readonly data: Buffer;
}

export interface VmaHeader {
  /** 16 bytes that every extent repeats. */
  readonly uuid: Buffer;
  /** Seconds since the epoch. */
  readonly ctime: number;
  readonly configs: readonly VmaConfigBlob[];
  readonly devices: readonly VmaDevice[];
}

/** One cluster of an extent. Bit i of `mask` says that its 4 KiB block i is stored. */
export interface VmaBlockInfo {
  readonly deviceId: number;
  readonly cluster: number;
  readonly mask: number;
}

/** Clusters of a device, the last one perhaps partial. */
export function clusterCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CLUSTER_SIZE);
}

/** Names are NUL-terminated; every blob has a 16-bit little-endian length before it. Offset 0 means none. */
class BlobTable {
  private readonly parts: Buffer[] = [Buffer.alloc(1)];
  length = 1;

  add(data: Buffer, what: string): number {
    if (data.length > 65535) {
      throw new VmaError(
        `Unable to write ${what} into a VMA header: it has ${data.length} bytes, the format allows 65535. Shorten it.`,
      );
    }
    const size = Buffer.alloc(2);
    size.writeUInt16LE(data.length);
    const offset = this.length;
    this.parts.push(size, data);
    this.length += 2 + data.length;
    return offset;
  }

  addName(name: string): number {
    return this.add(Buffer.from(`${name}\0`, "utf8"), `the name '${name}'`);
  }

  bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

function md5Without(buffer: Buffer, offset: number): Buffer {
  buffer.fill(0, offset, offset + 16);
  return createHash("md5").update(buffer).digest();
}

/** Writes a header. Throws a `VmaError` for what the format cannot hold. */
export function encodeHeader(header: VmaHeader): Buffer {
  if (header.devices.length === 0 || header.devices.length > MAX_DEVICES || header.configs.length > MAX_CONFIGS) {
    throw new VmaError(
      `Unable to write a VMA header: ${header.devices.length} devices and ${header.configs.length} configurations. ` +
        `It holds 1 to ${MAX_DEVICES} devices and up to ${MAX_CONFIGS} configurations.`,
    );
  }
  const fixed = Buffer.alloc(FIXED_HEADER_SIZE);
  const blobs = new BlobTable();
  header.configs.forEach((config, index) => {
    fixed.writeUInt32BE(blobs.addName(config.name), CONFIG_NAMES_OFFSET + index * 4);
    fixed.writeUInt32BE(blobs.add(config.data, `'${config.name}'`), CONFIG_DATA_OFFSET + index * 4);
  });
  for (const device of header.devices) {
    if (device.id < 1 || device.id > MAX_DEVICES || device.sizeBytes <= 0) {
      throw new VmaError(
        `Unable to write device '${device.name}' into a VMA header: id ${device.id}, size ${device.sizeBytes}.`,
      );
    }
    const offset = DEVICE_INFO_OFFSET + device.id * DEVICE_INFO_SIZE;
    fixed.writeUInt32BE(blobs.addName(device.name), offset);
    fixed.writeBigUInt64BE(BigInt(device.sizeBytes), offset + 8);
  }
  const size = FIXED_HEADER_SIZE + Math.ceil(blobs.length / 512) * 512;
  if (size > MAX_HEADER_SIZE) {
    throw new VmaError(
      `Unable to write a VMA header of ${size} bytes: the limit is ${MAX_HEADER_SIZE}. Shorten the configuration.`,
    );
  }
  fixed.writeUInt32BE(HEADER_MAGIC, 0);
  fixed.writeUInt32BE(VERSION, 4);
  header.uuid.copy(fixed, 8, 0, 16);
  fixed.writeBigUInt64BE(BigInt(header.ctime), 24);
  fixed.writeUInt32BE(FIXED_HEADER_SIZE, 48);
  fixed.writeUInt32BE(blobs.length, 52);
  fixed.writeUInt32BE(size, 56);
  const encoded = Buffer.concat([fixed, blobs.bytes()], size);
  md5Without(encoded, HEADER_MD5_OFFSET).copy(encoded, HEADER_MD5_OFFSET);
  return encoded;
}

/** Size of the whole header, from its fixed part. Throws for another kind of file. */
export function headerSize(fixed: Buffer): number {
  if (fixed.readUInt32BE(0) !== HEADER_MAGIC) throw new VmaError("not a vma file - wrong magic number");
  const size = fixed.readUInt32BE(56);
  if (size <= FIXED_HEADER_SIZE || size > MAX_HEADER_SIZE) throw new VmaError(`wrong vma header size ${size}`);
  return size;
}

/** Reads a header of `headerSize` bytes. Throws a `VmaError` when its checksum, version or pointers are wrong. */
export function decodeHeader(bytes: Buffer): VmaHeader {
  const stored = Buffer.from(bytes.subarray(HEADER_MD5_OFFSET, HEADER_MD5_OFFSET + 16));
  if (!md5Without(bytes, HEADER_MD5_OFFSET).equals(stored)) throw new VmaError("wrong vma header chechsum");
  const version = bytes.readUInt32BE(4);
  if (version !== VERSION) throw new VmaError(`wrong vma version ${version}`);
  const blobOffset = bytes.readUInt32BE(48);
  const blobSize = bytes.readUInt32BE(52);
  if (blobOffset < FIXED_HEADER_SIZE) throw new VmaError(`wrong vma blob buffer offset ${blobOffset}`);
  if (blobOffset + blobSize > bytes.length) throw new VmaError(`wrong vma blob buffer size ${blobOffset}/${blobSize}`);

  const blobAt = (pointer: number): Buffer | undefined => {
    if (pointer === 0 || pointer + 2 > blobSize) return undefined;
    const length = bytes.readUInt16LE(blobOffset + pointer);
    if (pointer + 2 + length > blobSize) return undefined;
    return bytes.subarray(blobOffset + pointer + 2, blobOffset + pointer + 2 + length);
  };
  const nameAt = (pointer: number): string | undefined => {
    const blob = blobAt(pointer);
    return blob !== undefined && blob.length > 0 && blob[blob.length - 1] === 0
      ? blob.toString("utf8", 0, blob.length - 1)
      : undefined;
  };

  const devices: VmaDevice[] = [];
  for (let id = 1; id <= MAX_DEVICES; id++) {
    const offset = DEVICE_INFO_OFFSET + id * DEVICE_INFO_SIZE;
    const size = bytes.readBigUInt64BE(offset + 8);
    const name = nameAt(bytes.readUInt32BE(offset));
    if (size === 0n || name === undefined) continue;
    if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new VmaError(`got strange size ${size} for device '${name}'`);
    devices.push({ id, name, sizeBytes: Number(size) });
  }
  if (devices.length === 0) throw new VmaError("vma does not contain data");

  const configs: VmaConfigBlob[] = [];
  for (let index = 0; index < MAX_CONFIGS; index++) {
    const namePointer = bytes.readUInt32BE(CONFIG_NAMES_OFFSET + index * 4);
    const dataPointer = bytes.readUInt32BE(CONFIG_DATA_OFFSET + index * 4);
    if (namePointer === 0 || dataPointer === 0) continue;
    const name = nameAt(namePointer);
    const data = blobAt(dataPointer);
    if (name === undefined || data === undefined) throw new VmaError("vma contains invalid data pointers");
    configs.push({ name, data: Buffer.from(data) });
  }
  return {
    uuid: Buffer.from(bytes.subarray(8, 24)),
    ctime: Number(bytes.readBigUInt64BE(24)),
    configs,
    devices,
  };
}

/** Writes an extent's header into the first 512 bytes of `extent`. */
export function encodeExtentHeader(
  extent: Buffer,
  uuid: Buffer,
  blocks: readonly VmaBlockInfo[],
  blockCount: number,
): void {
  const header = extent.subarray(0, EXTENT_HEADER_SIZE);
  header.fill(0);
  header.writeUInt32BE(EXTENT_MAGIC, 0);
  header.writeUInt16BE(blockCount, 6);
  uuid.copy(header, 8, 0, 16);
  blocks.forEach((block, index) => {
    const offset = BLOCK_INFO_OFFSET + index * 8;
    header.writeUInt16BE(block.mask, offset);
    header.writeUInt8(block.deviceId, offset + 3);
    header.writeUInt32BE(block.cluster, offset + 4);
  });
  md5Without(header, EXTENT_MD5_OFFSET).copy(header, EXTENT_MD5_OFFSET);
}

/** Reads an extent's 512-byte header: its clusters in order and the number of 4 KiB blocks that follow. */
export function decodeExtentHeader(header: Buffer, uuid: Buffer): { blocks: VmaBlockInfo[]; blockCount: number } {
  const stored = Buffer.from(header.subarray(EXTENT_MD5_OFFSET, EXTENT_MD5_OFFSET + 16));
  if (!md5Without(header, EXTENT_MD5_OFFSET).equals(stored)) throw new VmaError("wrong vma extent header chechsum");
  if (!header.subarray(8, 24).equals(uuid)) throw new VmaError("wrong vma extent uuid");
  if (header.readUInt32BE(0) !== EXTENT_MAGIC || header.readUInt16BE(4) !== 0) {
    throw new VmaError("wrong vma extent header magic");
  }
  const blocks: VmaBlockInfo[] = [];
  for (let index = 0; index < CLUSTERS_PER_EXTENT; index++) {
    const offset = BLOCK_INFO_OFFSET + index * 8;
    const deviceId = header.readUInt8(offset + 3);
    if (deviceId === 0) continue;
    blocks.push({ deviceId, mask: header.readUInt16BE(offset), cluster: header.readUInt32BE(offset + 4) });
  }
  const blockCount = header.readUInt16BE(6);
  if (blockCount > CLUSTERS_PER_EXTENT * BLOCKS_PER_CLUSTER) throw new VmaError("short vma extent - too many blocks");
  return { blocks, blockCount };
}
