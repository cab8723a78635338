/** Archives written and read through files, with the system's zstd and qemu-img. Proves the codec, not QEMU's part. */
import { execFileSync } from "node:child_process";
import { createCipheriv } from "node:crypto";
import {
  createWriteStream,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
  closeSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { compress, type Compression, compressionOf, decompress } from "../../../lab/vma/compression";
import { openVma, type VmaReadResult } from "../../../lab/vma/reader";
import { type VmaSource, writeVma } from "../../../lab/vma/writer";
import { type GeneratedGuest, generatedDisk, generateVma, type GeneratorArgs } from "../../support/vma-generator";

const dir = mkdtempSync(join(tmpdir(), "homelab-vma-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bytes that look random, always the same for a seed, and do not compress. */
function pattern(length: number, seed: number): Buffer {
  return createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(length));
}

let files = 0;

function image(sizeBytes: number, writes: readonly (readonly [number, Buffer])[]): string {
  const path = join(dir, `image-${files++}.raw`);
  const file = openSync(path, "w");
  for (const [offset, data] of writes) writeSync(file, data, 0, data.length, offset);
  closeSync(file);
  truncateSync(path, sizeBytes);
  return path;
}

async function archive(sources: VmaSource[], compression: Compression): Promise<string> {
  const path = join(dir, `archive-${files++}.vma${compression === "none" ? "" : `.${compression}`}`);
  const pipe = compress(compression, 1);
  const sink = pipeline(pipe.output, createWriteStream(path));
  await writeVma({
    output: pipe.input,
    uuid: Buffer.alloc(16, 5),
    ctime: 1_763_625_600,
    configs: [{ name: "qemu-server.conf", data: Buffer.from("memory: 64\n") }],
    sources,
  });
  pipe.input.end();
  await sink;
  await pipe.finished;
  return path;
}

async function extract(path: string): Promise<{ images: string[]; result: VmaReadResult }> {
  const pipe = decompress(path, compressionOf(path));
  const reader = await openVma(pipe.output as AsyncIterable<Buffer>);
  const images: string[] = [];
  const targets = new Map<number, Awaited<ReturnType<typeof open>>>();
  try {
    for (const device of reader.header.devices) {
      const target = image(device.sizeBytes, []);
      images.push(target);
      targets.set(device.id, await open(target, "r+"));
    }
    const result = await reader.restore({ targets });
    await pipe.finished;
    return { images, result };
  } finally {
    for (const target of targets.values()) await target.close();
    pipe.kill();
  }
}

const raw = (name: string, path: string): VmaSource => ({ name, path, format: "raw", sizeBytes: statSync(path).size });

describe("disks through an archive", () => {
  const first = image(20 * MIB, [
    [0, pattern(3 * MIB, 1)],
    [7 * MIB + 4096, pattern(4096, 2)],
    [12 * MIB - 100, pattern(200, 3)],
    [20 * MIB - 512, pattern(512, 4)],
  ]);
  const second = image(100 * KIB + 512, [[100 * KIB, pattern(512, 5)]]);
  const third = image(64 * KIB, []);

  test.each(["none", "zst", "gz"] as const)("come back byte for byte and stay sparse (%s)", async (compression) => {
    const path = await archive(
      [raw("drive-scsi0", first), raw("drive-scsi1", second), raw("drive-virtio0", third)],
      compression,
    );
    const { images, result } = await extract(path);
    for (const [index, source] of [first, second, third].entries()) {
      expect(readFileSync(images[index] ?? "").equals(readFileSync(source))).toBe(true);
    }
    expect(result.clustersRead).toBe(320 + 2 + 1);
    expect(statSync(images[0] ?? "").blocks * 512).toBeLessThan(4 * MIB);
  });

  test("a disk in qcow2 is read like its raw form", async () => {
    const qcow2 = join(dir, "first.qcow2");
    execFileSync("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", first, qcow2]);
    const path = await archive([{ name: "drive-scsi0", path: qcow2, format: "qcow2", sizeBytes: 20 * MIB }], "none");
    const { images } = await extract(path);
    expect(readFileSync(images[0] ?? "").equals(readFileSync(first))).toBe(true);
  });

  test("a huge empty disk costs neither memory nor space", async () => {
    const huge = image(64 * 1024 * MIB, [[32 * 1024 * MIB, pattern(4096, 6)]]);
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const sink = new Writable({
      write: (_chunk, _encoding, done) => {
        most = Math.max(most, process.memoryUsage().arrayBuffers);
        done();
      },
    });
    const progress = await writeVma({
      output: sink,
      uuid: Buffer.alloc(16),
      ctime: 0,
      configs: [],
      sources: [raw("drive-scsi0", huge)],
    });
    expect(progress.zeroBytes).toBe(64 * 1024 * MIB - 4096);
    expect(most - before).toBeLessThan(64 * MIB);
  }, 30_000);
});

describe("archives of the independent generator", () => {
  const guest: GeneratedGuest = {
    vmId: 200,
    name: "docker",
    disks: [
      {
        key: "scsi0",
        sizeBytes: 5 * MIB,
        writes: [
          { offset: 0, data: pattern(200 * KIB, 7) },
          { offset: 3 * MIB + 4096, data: pattern(4096, 8) },
        ],
      },
      { key: "virtio3", sizeBytes: 130 * KIB, writes: [{ offset: 129 * KIB, data: pattern(KIB, 9) }] },
    ],
  };

  async function restored(bytes: Buffer, extension: string): Promise<string[]> {
    const path = join(dir, `generated-${files++}.${extension}`);
    writeFileSync(path, extension === "vma" ? bytes : execFileSync("zstd", ["-q", "-c"], { input: bytes }));
    return (await extract(path)).images;
  }

  test.each<[string, GeneratorArgs, string]>([
    ["as Proxmox writes them", {}, "vma.zst"],
    ["uncompressed", {}, "vma"],
    ["with one cluster per extent", { clustersPerExtent: 1 }, "vma"],
    ["with full extents", { clustersPerExtent: 59 }, "vma"],
    ["with disks in turn and backwards", { interleaved: true }, "vma.zst"],
  ])("are read %s", async (_, args, extension) => {
    const images = await restored(generateVma(guest, args), extension);
    for (const [index, disk] of guest.disks.entries()) {
      expect(readFileSync(images[index] ?? "").equals(generatedDisk(disk))).toBe(true);
    }
  });

  const whole = generateVma(guest);
  const headerLength = whole.readUInt32BE(56);
  const firstExtent = 512 + whole.readUInt16BE(headerLength + 6) * 4096;

  test.each<[string, Buffer, string]>([
    ["cut within the fixed header", whole.subarray(0, 5000), "can't read vma header - got EOF"],
    ["cut within the blobs", whole.subarray(0, headerLength - 1), "can't read vma header data - got EOF"],
    ["cut within an extent's header", whole.subarray(0, headerLength + 100), "read short extent (100 bytes)"],
    ["cut within data", whole.subarray(0, headerLength + 5000), `short vma extent (5000 < ${firstExtent})`],
    [
      "cut between extents",
      whole.subarray(0, headerLength + firstExtent),
      "detected missing cluster 58 for stream drive-scsi0",
    ],
    [
      "without one cluster",
      generateVma(guest, { skip: (id, n) => id === 2 && n === 1 }),
      "detected missing cluster 1 for stream drive-virtio3",
    ],
    ["of an unknown device", generateVma(guest, { deviceIdOffset: 2 }), "got wrong dev id 3"],
    [
      "with a cluster twice",
      Buffer.concat([whole, whole.subarray(headerLength, headerLength + firstExtent)]),
      "found duplicated cluster 0 for stream drive-scsi0",
    ],
    ["without anything", Buffer.alloc(0), "can't read vma header - got EOF"],
  ])("%s are refused", async (_, bytes, text) => {
    await expect(restored(bytes, "vma")).rejects.toThrow(text);
  });

  test("a flipped bit in an extent's header is refused", async () => {
    const bytes = Buffer.from(whole);
    bytes.writeUInt8(bytes.readUInt8(headerLength + 50) ^ 4, headerLength + 50);
    await expect(restored(bytes, "vma")).rejects.toThrow("wrong vma extent header chechsum");
  });

  test("a truncated .zst is refused, with zstd's words at hand", async () => {
    const zst = execFileSync("zstd", ["-q", "-c"], { input: whole });
    const path = join(dir, "cut.vma.zst");
    writeFileSync(path, zst.subarray(0, zst.length - 100));
    const pipe = decompress(path, "zst");
    const reading = (async () => {
      const reader = await openVma(pipe.output as AsyncIterable<Buffer>);
      const target = await open(image(5 * MIB, []), "r+");
      const other = await open(image(130 * KIB, []), "r+");
      try {
        await reader.restore({
          targets: new Map([
            [1, target],
            [2, other],
          ]),
        });
      } finally {
        await target.close();
        await other.close();
      }
    })();
    await expect(reading).rejects.toThrow(/short vma extent|can't read vma header/);
    await expect(pipe.finished).rejects.toThrow("failed - wrong exit status 1");
    expect(pipe.messages.join("\n")).toMatch(/premature end|unexpected end/i);
  });

  test("an input error is passed on", async () => {
    const broken = Readable.from(
      (async function* () {
        yield whole.subarray(0, headerLength);
        await Promise.resolve();
        throw new Error("NAS is gone");
      })(),
    );
    const reader = await openVma(broken as AsyncIterable<Buffer>);
    const target = await open(image(5 * MIB, []), "r+");
    const other = await open(image(130 * KIB, []), "r+");
    await expect(
      reader.restore({
        targets: new Map([
          [1, target],
          [2, other],
        ]),
      }),
    ).rejects.toThrow("NAS is gone");
    await target.close();
    await other.close();
  });
});
