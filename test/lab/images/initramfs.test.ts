import { type CpioEntry, moduleLoadOrder, writeCpio } from "../../../lab/images/initramfs";

/** Reads a "newc" archive by the kernel's description of it, sharing nothing with the writer. */
function readCpio(archive: Buffer): { name: string; mode: number; uid: number; links: number; content: Buffer }[] {
  const entries = [];
  let offset = 0;
  for (;;) {
    expect(archive.toString("ascii", offset, offset + 6)).toBe("070701");
    const field = (index: number): number =>
      Number.parseInt(archive.toString("ascii", offset + 6 + index * 8, offset + 14 + index * 8), 16);
    const nameEnd = offset + 110 + field(11);
    const name = archive.toString("utf8", offset + 110, nameEnd - 1);
    expect(archive[nameEnd - 1]).toBe(0);
    const start = Math.ceil(nameEnd / 4) * 4;
    const content = archive.subarray(start, start + field(6));
    if (name === "TRAILER!!!") return entries;
    entries.push({ name, mode: field(1), uid: field(2), links: field(4), content });
    offset = Math.ceil((start + field(6)) / 4) * 4;
  }
}

describe("writeCpio", () => {
  const entries: CpioEntry[] = [
    { kind: "directory", name: "bin" },
    { kind: "file", name: "bin/busybox", mode: 0o755, content: Buffer.from("12345") },
    { kind: "symlink", name: "bin/sh", target: "busybox" },
    { kind: "file", name: "modules/order", mode: 0o644, content: Buffer.from("ä\n") },
  ];

  it("writes what a reader of the format gets back", () => {
    const [bin, busybox, sh, order, ...rest] = readCpio(writeCpio(entries));
    expect(rest).toEqual([]);
    expect(bin).toMatchObject({ name: "bin", mode: 0o040755, links: 2, uid: 0 });
    expect(busybox).toMatchObject({ name: "bin/busybox", mode: 0o100755, links: 1, uid: 0 });
    expect(busybox?.content.toString()).toBe("12345");
    expect(sh).toMatchObject({ name: "bin/sh", mode: 0o120777 });
    expect(sh?.content.toString()).toBe("busybox");
    expect(order?.content.toString("utf8")).toBe("ä\n");
  });

  it("gives equal bytes for equal entries", () => {
    expect(writeCpio(entries).equals(writeCpio(entries))).toBe(true);
  });
});

describe("moduleLoadOrder", () => {
  // As depmod writes it: what a module needs stands after it, the deepest last.
  const modulesDep = [
    "kernel/drivers/virtio/virtio_ring.ko:",
    "kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko",
    "kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko",
    "kernel/drivers/scsi/scsi_common.ko:",
    "kernel/drivers/scsi/sd_mod.ko: kernel/drivers/scsi/scsi_mod.ko kernel/drivers/scsi/scsi_common.ko",
    "",
  ].join("\n");

  it("loads what a module needs first, and nothing twice", () => {
    expect(moduleLoadOrder(modulesDep, ["virtio_blk", "virtio", "sd_mod"])).toEqual([
      "kernel/drivers/virtio/virtio_ring.ko",
      "kernel/drivers/virtio/virtio.ko",
      "kernel/drivers/block/virtio_blk.ko",
      "kernel/drivers/scsi/scsi_common.ko",
      "kernel/drivers/scsi/scsi_mod.ko",
      "kernel/drivers/scsi/sd_mod.ko",
    ]);
  });

  it("names a module that the kernel doesn't have", () => {
    expect(() => moduleLoadOrder(modulesDep, ["virtio_scsi"])).toThrow(/the kernel package has no module virtio_scsi/);
  });
});
