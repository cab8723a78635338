import {
  decodeExtentHeader,
  decodeHeader,
  encodeExtentHeader,
  encodeHeader,
  headerSize,
  MAX_EXTENT_SIZE,
} from "../../../lab/vma/format";
import { mergeToClusters } from "../../../lab/vma/extents";
import { generatedConfig, generateVma } from "../../support/vma-generator";

const guest = { vmId: 200, name: "docker", disks: [{ key: "scsi0", sizeBytes: 1024 * 1024 }] };
const uuid = Buffer.alloc(16, 0xab);

function fresh(): Buffer {
  return encodeHeader({
    uuid,
    ctime: 1_763_625_600,
    configs: [{ name: "qemu-server.conf", data: Buffer.from("memory: 512\n") }],
    devices: [
      { id: 1, name: "drive-scsi0", sizeBytes: 8 * 1024 ** 3 },
      { id: 255, name: "drive-virtio15", sizeBytes: 3 * 1024 ** 4 },
    ],
  });
}

describe("VMA header", () => {
  test("what is written is read, with the last device id and a size beyond 32 bits", () => {
    const bytes = fresh();
    expect(headerSize(bytes)).toBe(bytes.length);
    expect(bytes.length % 512).toBe(0);
    const header = decodeHeader(bytes);
    expect(header.uuid).toEqual(uuid);
    expect(header.ctime).toBe(1_763_625_600);
    expect(header.configs).toEqual([{ name: "qemu-server.conf", data: Buffer.from("memory: 512\n") }]);
    expect(header.devices).toEqual([
      { id: 1, name: "drive-scsi0", sizeBytes: 8 * 1024 ** 3 },
      { id: 255, name: "drive-virtio15", sizeBytes: 3 * 1024 ** 4 },
    ]);
  });

  test("lengths of blobs are little endian, everything else is big endian", () => {
    const bytes = fresh();
    const data = Buffer.alloc(300, "x");
    const long = encodeHeader({
      uuid,
      ctime: 0,
      configs: [{ name: "c", data }],
      devices: [{ id: 1, name: "d", sizeBytes: 1 }],
    });
    expect(bytes.subarray(0, 8)).toEqual(Buffer.from("VMA\0\0\0\0\u0001", "latin1"));
    expect([...long.subarray(12288 + 5, 12288 + 7)]).toEqual([300 - 256, 1]);
  });

  test("a header of the independent generator is read", () => {
    const bytes = generateVma(guest);
    const header = decodeHeader(Buffer.from(bytes.subarray(0, headerSize(bytes))));
    expect(header.configs[0]?.data.toString()).toBe(generatedConfig(guest));
    expect(header.devices).toEqual([{ id: 1, name: "drive-scsi0", sizeBytes: 1024 * 1024 }]);
  });

  test.each([
    ["another kind of file", (b: Buffer) => b.write("PK", 0), "not a vma file - wrong magic number"],
    ["a flipped bit", (b: Buffer) => b.writeUInt8(b.readUInt8(12300) ^ 1, 12300), "wrong vma header chechsum"],
    ["an absurd size", (b: Buffer) => b.writeUInt32BE(0x7fffffff, 56), "wrong vma header size 2147483647"],
  ])("%s is refused", (_, damage, text) => {
    const bytes = fresh();
    damage(bytes);
    expect(() => {
      headerSize(bytes);
      decodeHeader(bytes);
    }).toThrow(text);
  });

  test("what the format cannot hold is refused", () => {
    const devices = [{ id: 1, name: "drive-scsi0", sizeBytes: 1 }];
    const data = Buffer.alloc(65536);
    expect(() => encodeHeader({ uuid, ctime: 0, configs: [], devices: [] })).toThrow("0 devices");
    expect(() => encodeHeader({ uuid, ctime: 0, configs: [{ name: "big", data }], devices })).toThrow("65535");
  });
});

describe("VMA extent header", () => {
  const blocks = [
    { deviceId: 1, cluster: 0, mask: 0xffff },
    { deviceId: 255, cluster: 0xffffffff, mask: 0 },
    { deviceId: 2, cluster: 7, mask: 0x8001 },
  ];

  test("what is written is read", () => {
    const extent = Buffer.alloc(MAX_EXTENT_SIZE, 0xee);
    encodeExtentHeader(extent, uuid, blocks, 18);
    expect(decodeExtentHeader(extent.subarray(0, 512), uuid)).toEqual({ blocks, blockCount: 18 });
    expect(extent[512]).toBe(0xee);
  });

  test.each([
    ["a flipped bit", 100, uuid, "wrong vma extent header chechsum"],
    ["another archive's extent", undefined, Buffer.alloc(16, 1), "wrong vma extent uuid"],
  ])("%s is refused", (_, position, expected, text) => {
    const extent = Buffer.alloc(MAX_EXTENT_SIZE);
    encodeExtentHeader(extent, uuid, blocks, 18);
    if (position !== undefined) extent.writeUInt8(extent.readUInt8(position) ^ 1, position);
    expect(() => decodeExtentHeader(extent.subarray(0, 512), expected)).toThrow(text);
  });
});

describe("clusters of an image", () => {
  const data = { data: true, zero: false };

  test("ranges are widened to clusters and joined where disk and file go on", () => {
    const runs = mergeToClusters(
      [
        { start: 4096, length: 4096, offset: 4096, ...data },
        { start: 8192, length: 61440, data: false, zero: true, offset: 8192 },
        { start: 69632, length: 4096, offset: 69632, ...data },
        { start: 196608, length: 100, offset: 196608, ...data },
      ],
      "x",
    );
    expect(runs).toEqual([
      { first: 0, count: 2, fileOffset: 0 },
      { first: 3, count: 1, fileOffset: 196608 },
    ]);
  });

  test("neighbours that lie apart in the file stay apart", () => {
    const runs = mergeToClusters(
      [
        { start: 0, length: 65536, offset: 327680, ...data },
        { start: 65536, length: 131072, offset: 983040, ...data },
      ],
      "x",
    );
    expect(runs).toEqual([
      { first: 0, count: 1, fileOffset: 327680 },
      { first: 1, count: 2, fileOffset: 983040 },
    ]);
  });

  test("compressed data is refused", () => {
    expect(() => mergeToClusters([{ start: 0, length: 65536, ...data }], "disk.qcow2")).toThrow(
      "Unable to read the disk image disk.qcow2",
    );
  });
});
