/**
 * Makes VMA archives for tests, written from the format's description alone. It shares no code with the lab on purpose: what
 * the lab's reader takes from here, it did not learn from its own writer.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** One disk of a generated guest. */
export interface GeneratedDisk {
  /** `scsi0`, `virtio1`, … */
  readonly key: string;
  readonly sizeBytes: number;
  /** Storage that the archive names. Default `local-lvm`. */
  readonly storage?: string;
  /** Content; everything else is zero. Default: zero as a whole, so nothing boots from it. */
  readonly writes?: readonly { readonly offset: number; readonly data: Buffer }[];
  /** More options of the configuration line, for example `iothread=1`. */
  readonly options?: string;
}

/** The guest in a generated archive. */
export interface GeneratedGuest {
  readonly vmId: number;
  readonly name: string;
  /** Default 512. */
  readonly memoryMiB?: number;
  /** Default 1. */
  readonly cores?: number;
  /** Value of `agent`, default `enabled=1`; empty: no such line. */
  readonly agent?: string;
  /** Values of `net0`, `net1`, …. Default: one virtio card on vmbr0. */
  readonly nets?: readonly string[];
  readonly disks: readonly GeneratedDisk[];
  /** Further configuration lines, for example `onboot: 1`. */
  readonly lines?: readonly string[];
  /** Replaces the whole configuration text, `#qmdump#` lines included. */
  readonly configText?: string;
}

/** Deviations from what Proxmox writes, for tests of damage and of odd but legal archives. */
export interface GeneratorArgs {
  /** Clusters per extent, 1 to 59. Proxmox's writer closes an extent at 58. */
  readonly clustersPerExtent?: number;
  /** Clusters of all disks in turn rather than disk after disk, each disk from its end. */
  readonly interleaved?: boolean;
  /** Seconds since the epoch, in the header. Default 1763625600. */
  readonly ctime?: number;
  /** Adds this to every cluster's device id. */
  readonly deviceIdOffset?: number;
  /** Leaves the cluster out. */
  readonly skip?: (deviceId: number, cluster: number) => boolean;
}

const BLOCK = 4096;
const CLUSTER = 65536;
const UUID = Buffer.from("0123456789abcdef8edcba9876543210", "hex");

/** Configuration text of the guest, with the lines that map disks to devices. */
export function generatedConfig(guest: GeneratedGuest): string {
  if (guest.configText !== undefined) return guest.configText;
  const agent = guest.agent ?? "enabled=1";
  const nets = guest.nets ?? ["virtio=BC:24:11:00:02:00,bridge=vmbr0"];
  return [
    ...(agent === "" ? [] : [`agent: ${agent}`]),
    `boot: order=${guest.disks[0]?.key ?? "net0"}`,
    `cores: ${guest.cores ?? 1}`,
    `memory: ${guest.memoryMiB ?? 512}`,
    `name: ${guest.name}`,
    ...nets.map((net, index) => `net${index}: ${net}`),
    ...guest.disks.map((disk, index) => {
      const options = disk.options === undefined ? "" : `,${disk.options}`;
      const size = `${disk.sizeBytes / 1024}K`;
      return `${disk.key}: ${disk.storage ?? "local-lvm"}:vm-${guest.vmId}-disk-${index}${options},size=${size}`;
    }),
    "scsihw: virtio-scsi-pci",
    "smbios1: uuid=11111111-2222-3333-4444-555555555555",
    "vmgenid: 66666666-7777-8888-9999-000000000000",
    ...(guest.lines ?? []),
    ...guest.disks.map((disk) => `#qmdump#map:${disk.key}:drive-${disk.key}:${disk.storage ?? "local-lvm"}:raw:`),
    "",
  ].join("\n");
}

/** The disk as it should be after a restore. Only for small disks. */
export function generatedDisk(disk: GeneratedDisk): Buffer {
  const bytes = Buffer.alloc(disk.sizeBytes);
  for (const { offset, data } of disk.writes ?? []) data.copy(bytes, offset);
  return bytes;
}

function md5(bytes: Buffer): Buffer {
  return createHash("md5").update(bytes).digest();
}

function header(guest: GeneratedGuest, ctime: number): Buffer {
  const fixed = Buffer.alloc(12288);
  let blobs = Buffer.alloc(1);
  const blob = (content: Buffer): number => {
    const position = blobs.length;
    blobs = Buffer.concat([blobs, Buffer.from([content.length % 256, Math.floor(content.length / 256)]), content]);
    return position;
  };
  fixed.write("VMA\0", 0, "latin1");
  fixed.writeInt32BE(1, 4);
  fixed.set(UUID, 8);
  fixed.writeBigInt64BE(BigInt(ctime), 24);
  fixed.writeInt32BE(blob(Buffer.from("qemu-server.conf\0")), 2044);
  fixed.writeInt32BE(blob(Buffer.from(generatedConfig(guest))), 3068);
  guest.disks.forEach((disk, index) => {
    const entry = 4096 + 32 * (index + 1);
    fixed.writeInt32BE(blob(Buffer.from(`drive-${disk.key}\0`)), entry);
    fixed.writeBigInt64BE(BigInt(disk.sizeBytes), entry + 8);
  });
  const padded = Buffer.alloc(Math.ceil(blobs.length / 512) * 512);
  padded.set(blobs);
  fixed.writeInt32BE(12288, 48);
  fixed.writeInt32BE(padded.length, 52);
  fixed.writeInt32BE(12288 + padded.length, 56);
  const whole = Buffer.concat([fixed, padded]);
  whole.set(md5(whole), 32);
  return whole;
}

interface Cluster {
  readonly device: number;
  readonly number: number;
  readonly mask: number;
  readonly blocks: readonly Buffer[];
}

/** The disk's clusters; only those that a write touches are looked into. */
function clusters(disk: GeneratedDisk, device: number): Cluster[] {
  const touched = new Map<number, Buffer>();
  for (const { offset, data } of disk.writes ?? []) {
    for (let at = 0; at < data.length;) {
      const number = Math.floor((offset + at) / CLUSTER);
      const within = (offset + at) % CLUSTER;
      const part = data.subarray(at, at + CLUSTER - within);
      const content = touched.get(number) ?? Buffer.alloc(CLUSTER);
      content.set(part, within);
      touched.set(number, content);
      at += part.length;
    }
  }
  return Array.from({ length: Math.ceil(disk.sizeBytes / CLUSTER) }, (_, number) => {
    const content = touched.get(number);
    const blocks: Buffer[] = [];
    let mask = 0;
    for (let block = 0; content !== undefined && block < 16; block++) {
      const bytes = content.subarray(block * BLOCK, (block + 1) * BLOCK);
      if (bytes.every((byte) => byte === 0)) continue;
      mask += 2 ** block;
      blocks.push(bytes);
    }
    return { device, number, mask, blocks };
  });
}

function extent(content: readonly Cluster[]): Buffer {
  const head = Buffer.alloc(512);
  const blocks = content.flatMap((cluster) => cluster.blocks);
  head.write("VMAE", 0, "latin1");
  head.writeUInt16BE(blocks.length, 6);
  head.set(UUID, 8);
  content.forEach((cluster, index) => {
    head.writeBigUInt64BE(
      (BigInt(cluster.mask) << 48n) | (BigInt(cluster.device) << 32n) | BigInt(cluster.number),
      40 + 8 * index,
    );
  });
  head.set(md5(head), 24);
  return Buffer.concat([head, ...blocks]);
}

/** An uncompressed archive. */
export function generateVma(guest: GeneratedGuest, args: GeneratorArgs = {}): Buffer {
  const perDisk = guest.disks.map((disk, index) => clusters(disk, index + 1));
  let order = perDisk.flat();
  if (args.interleaved === true) {
    order = [];
    for (let turn = 0; perDisk.some((disk) => turn < disk.length); turn++) {
      for (const disk of perDisk) {
        const cluster = disk[disk.length - 1 - turn];
        if (cluster !== undefined) order.push(cluster);
      }
    }
  }
  order = order
    .filter((cluster) => args.skip?.(cluster.device, cluster.number) !== true)
    .map((cluster) => ({ ...cluster, device: cluster.device + (args.deviceIdOffset ?? 0) }));
  const size = args.clustersPerExtent ?? 58;
  const extents: Buffer[] = [];
  for (let at = 0; at < order.length; at += size) extents.push(extent(order.slice(at, at + size)));
  return Buffer.concat([header(guest, args.ctime ?? 1_763_625_600), ...extents]);
}

/** File name that PVE gives to an archive made at this (local) time. */
export function generatedArchiveName(vmId: number, time: Date, extension: "vma" | "vma.zst" | "vma.gz"): string {
  const part = (value: number): string => (value < 10 ? `0${value}` : `${value}`);
  const day = [time.getFullYear(), time.getMonth() + 1, time.getDate()].map(part).join("_");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(part).join("_");
  return `vzdump-qemu-${vmId}-${day}-${clock}.${extension}`;
}

/** Writes an archive into a dump folder under its proper name and returns its path. zstd comes from the system. */
export function writeGeneratedArchive(
  dumpDir: string,
  guest: GeneratedGuest,
  time: Date,
  extension: "vma" | "vma.zst" | "vma.gz" = "vma.zst",
  args: GeneratorArgs = {},
): string {
  const bytes = generateVma(guest, { ctime: Math.floor(time.getTime() / 1000), ...args });
  mkdirSync(dumpDir, { recursive: true });
  const path = join(dumpDir, generatedArchiveName(guest.vmId, time, extension));
  switch (extension) {
    case "vma":
      writeFileSync(path, bytes);
      break;
    case "vma.gz":
      writeFileSync(path, gzipSync(bytes));
      break;
    case "vma.zst":
      writeFileSync(path, execFileSync("zstd", ["-q", "-c"], { input: bytes, maxBuffer: 1024 ** 3 }));
      break;
    default:
      extension satisfies never;
  }
  return path;
}
