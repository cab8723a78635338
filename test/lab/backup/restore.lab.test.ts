/** Restores of archives that an independent generator made, through the system's zstd. */
import { closeSync, openSync, readFileSync, truncateSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type GeneratedGuest,
  generatedConfig,
  generatedDisk,
  writeGeneratedArchive,
} from "../../support/vma-generator";
import { EngineFixture, MIB, noise, noMachines } from "./engine-fixture";

const guest: GeneratedGuest = {
  vmId: 200,
  name: "docker",
  nets: ["virtio=BC:24:11:00:02:00,bridge=vmbr0"],
  lines: ["ide2: local-lvm:vm-200-cloudinit,media=cdrom", "onboot: 1"],
  disks: [
    {
      key: "scsi0",
      sizeBytes: 12 * MIB,
      options: "iothread=1",
      writes: [{ offset: 3 * MIB, data: noise(2 * MIB, 1) }],
    },
    { key: "virtio0", sizeBytes: 3 * MIB, storage: "fast", writes: [{ offset: 3 * MIB - 4096, data: noise(4096, 2) }] },
  ],
};
const time = new Date(2025, 10, 20, 2, 0, 0);

let fixture: EngineFixture;
beforeEach(() => (fixture = new EngineFixture(() => noMachines)));
afterEach(() => fixture.remove());

describe("a restore", () => {
  test("brings all disks back on their storages and a configuration that names them", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    const context = fixture.context();
    const events: string[] = [];
    const config = await fixture.restore(
      {
        archivePath,
        archiveLabel: "/mnt/pve/nas/dump/a.vma.zst",
        unique: true,
        overrides: { name: "drill", onboot: "0" },
      },
      context,
      events,
    );

    expect(config).toMatchObject({
      name: "drill",
      onboot: "0",
      scsi0: "local-lvm:vm-9200-disk-0,iothread=1,size=12288K",
      virtio0: "fast:vm-9200-disk-0,size=3072K",
      ide2: "local-lvm:vm-9200-cloudinit,media=cdrom",
    });
    expect(config["net0"]).not.toContain("BC:24:11:00:02:00");
    const [first, second] = guest.disks;
    expect(
      fixture.volumes.read("local-lvm:vm-9200-disk-0").equals(generatedDisk(first ?? { key: "", sizeBytes: 0 })),
    ).toBe(true);
    expect(fixture.volumes.read("fast:vm-9200-disk-0").equals(generatedDisk(second ?? { key: "", sizeBytes: 0 }))).toBe(
      true,
    );
    expect(statSync(fixture.volumes.pathOf("local-lvm:vm-9200-disk-0")).blocks * 512).toBeLessThan(3 * MIB);
    expect(events).toEqual(["check local-lvm", "check fast", `write ${Object.keys(config).length} keys`]);

    const text = generatedConfig(guest);
    const disk = fixture.volumes.pathOf("local-lvm:vm-9200-disk-0");
    expect(context.lines[0]).toMatch(
      /^restore vma archive: zstd -q -d -c \/mnt\/pve\/nas\/dump\/a\.vma\.zst \| vma extract -v -r \/var\/tmp\/vzdumptmp\d+\.fifo - \/var\/tmp\/vzdumptmp\d+$/,
    );
    expect(context.lines).toEqual(
      expect.arrayContaining([
        `CFG: size: ${text.length} name: qemu-server.conf`,
        "DEV: dev_id=1 size: 12582912 devname: drive-scsi0",
        "DEV: dev_id=2 size: 3145728 devname: drive-virtio0",
        "CTIME: Thu Nov 20 02:00:00 2025",
        "new volume ID is 'local-lvm:vm-9200-disk-0'",
        `map 'drive-scsi0' to '${disk}' (write zeros = 0)`,
        "rescan volumes...",
      ]),
    );
    expect(context.lines.join("\n")).toMatch(/progress 100% \(read 15728640 bytes, duration \d+ sec\)/);
    expect(context.lines.join("\n")).toMatch(/total bytes read 15728640, sparse bytes 13565952 \(86\.\d%\)/);
  });

  test("corrects a size that the archived configuration has wrong", async () => {
    const text = generatedConfig(guest).replace("size=12288K", "size=8M");
    const archivePath = writeGeneratedArchive(fixture.dumpDir, { ...guest, configText: text }, time, "vma");
    const context = fixture.context();
    expect((await fixture.restore({ archivePath }, context))["scsi0"]).toContain("size=12M");
    expect(context.lines).toContain("VM 9200 (scsi0): size of disk 'local-lvm:vm-9200-disk-0' updated from 8M to 12M");
  });

  test("goes to the one storage that was asked for", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time, "vma.gz");
    const config = await fixture.restore({ archivePath, storage: "other" }, fixture.context());
    expect([config["scsi0"], config["virtio0"], config["ide2"]].map((value) => value?.split(",")[0])).toEqual([
      "other:vm-9200-disk-0",
      "other:vm-9200-disk-1",
      "other:vm-9200-cloudinit",
    ]);
  });

  test("with force frees the old disks first; other old disks become unused ones", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    const old = await fixture.volumes.allocateDisk("local-lvm", 200, MIB);
    const other = await fixture.volumes.allocateDisk("local-lvm", 200, MIB);
    const events: string[] = [];
    const config = await fixture.restore(
      {
        archivePath,
        vmId: 200,
        previous: { scsi0: `${old},size=1M`, scsi5: `${other},size=1M`, ide2: "none,media=cdrom" },
      },
      fixture.context(),
      events,
    );
    expect(events.slice(0, 3)).toEqual(["check local-lvm", "check fast", "write 2 keys"]);
    expect(fixture.volumes.freed).toEqual([old]);
    expect(config["unused0"]).toBe(other);
  });
});

describe("a restore that fails leaves a husk and no volume", () => {
  async function failed(
    request: Partial<Parameters<EngineFixture["restore"]>[0]> & { archivePath: string },
  ): Promise<{ error: string; lines: string[]; events: string[] }> {
    const context = fixture.context();
    const events: string[] = [];
    const error = await fixture.restore(request, context, events).then(
      () => "no error",
      (reason: unknown) => (reason as Error).message,
    );
    expect(fixture.volumes.list()).toEqual([]);
    expect(events.at(-1)).toBe("remove lock");
    expect(events.join()).not.toContain("write");
    expect(context.lines.at(-1)).toBe(
      "error before or during data restore, some or all disks were not completely restored. VM 9200 state is NOT cleaned up.",
    );
    return { error, lines: context.lines, events };
  }

  test("a truncated archive", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    truncateSync(archivePath, Math.floor(statSync(archivePath).size * 0.6));
    const { error, lines } = await failed({ archivePath });
    expect(error).toMatch(
      /^command 'set -o pipefail && zstd -q -d -c \S+ \| vma extract -v -r \S+ - \S+' failed: exit code 133$/,
    );
    expect(lines.join("\n")).toMatch(/premature end|unexpected end/i);
    expect(lines.join("\n")).toMatch(/vma: restore failed - short vma extent \(\d+ < \d+\)/);
    expect(lines).toContain("temporary volume 'local-lvm:vm-9200-disk-0' successfully removed");
    expect(lines).toContain("temporary volume 'fast:vm-9200-disk-0' successfully removed");
  });

  test("an empty archive", async () => {
    const archivePath = join(fixture.dir, "vzdump-qemu-200-2025_11_20-02_00_00.vma.zst");
    closeSync(openSync(archivePath, "w"));
    expect((await failed({ archivePath })).lines).toContain("vma: restore failed - can't read vma header - got EOF");
  });

  test("no archive at all", async () => {
    const { error } = await failed({ archivePath: join(fixture.dir, "vzdump-qemu-200-2025_11_20-02_00_00.vma.zst") });
    expect(error).toContain("failed: exit code 133");
  });

  test("a storage that is no place for disks", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    const { error } = await failed({
      archivePath,
      checkStorage: (storage) => {
        if (storage === "fast") throw new Error("Content type 'images' is not available on storage 'fast'");
      },
    });
    expect(error).toBe("Content type 'images' is not available on storage 'fast'");
  });

  test("a storage that fills up after the first disk", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    fixture.volumes.full.add("fast");
    expect((await failed({ archivePath })).error).toBe("storage 'fast' is full");
  });

  test("a live restore, which VMA archives don't have", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    expect((await failed({ archivePath, liveRestore: true })).error).toBe(
      "live-restore is only compatible with backup images from a Proxmox Backup Server",
    );
  });

  test("a task that is stopped", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    const abort = new AbortController();
    const context = fixture.context(abort.signal, (line) => {
      if (line.startsWith("map 'drive-virtio0'")) abort.abort();
    });
    await expect(fixture.restore({ archivePath }, context)).rejects.toThrow("interrupted by signal");
    expect(fixture.volumes.list()).toEqual([]);
  });
});

describe("the configuration in an archive", () => {
  test("is read with its map, even when the data behind it is cut off", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time, "vma");
    const header = readFileSync(archivePath).readUInt32BE(56);
    truncateSync(archivePath, header);
    expect(await fixture.engine.extractConfig(archivePath)).toBe(generatedConfig(guest));
  });

  test("is read from the head of a .zst", async () => {
    const archivePath = writeGeneratedArchive(fixture.dumpDir, guest, time);
    expect(await fixture.engine.extractConfig(archivePath)).toContain("#qmdump#map:virtio0:drive-virtio0:fast:raw:");
  });

  test("is not made up for another file", async () => {
    const path = join(fixture.dir, "vzdump-qemu-200-2025_11_20-02_00_00.vma");
    writeFileSync(path, Buffer.alloc(20000, "x"));
    await expect(fixture.engine.extractConfig(path)).rejects.toThrow("not a vma file - wrong magic number");
  });
});
