import * as fc from "fast-check";
import { agreesWithCtime, parseArchiveName, printArchiveName } from "../../pve/archive-name";
import { parsePropertyString, printPropertyString } from "../../pve/property-string";
import { parseDiskSize, printDiskSize } from "../../pve/size";
import { parseUpid, printUpid } from "../../pve/upid";
import {
  diskKeys,
  isCdrom,
  isCloudInitDrive,
  networkKeys,
  parseVmConfig,
  printQmdumpEntry,
  printVmConfig,
  qmdumpMap,
} from "../../pve/vm-config";
import { ownerOfVolume, parseVolumeId } from "../../pve/volume-id";

describe("property strings", () => {
  test("reads keys, a bare default and a trailing comma", () => {
    expect(parsePropertyString("virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=0")).toEqual({
      virtio: "BC:24:11:AA:BB:CC",
      bridge: "vmbr0",
      firewall: "0",
    });
    expect(parsePropertyString("local:cloudinit,media=cdrom,", "file")).toEqual({
      file: "local:cloudinit",
      media: "cdrom",
    });
    expect(parsePropertyString("uuid=abc,manufacturer=QQ==")).toEqual({ uuid: "abc", manufacturer: "QQ==" });
  });

  test("refuses what PVE refuses", () => {
    expect(() => parsePropertyString("bridge=a,bridge=b")).toThrow('the key "bridge" stands twice');
    expect(() => parsePropertyString("virtio")).toThrow('"virtio" has no key');
  });

  test("prints what it reads", () => {
    expect(printPropertyString({ size: "8G", file: "local-lvm:vm-200-disk-0" }, "file")).toBe(
      "local-lvm:vm-200-disk-0,size=8G",
    );
    const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    fc.assert(
      fc.property(fc.dictionary(word, word), (record) => {
        expect(parsePropertyString(printPropertyString(record, "file"), "file")).toEqual({ ...record });
      }),
    );
  });
});

describe("UPIDs", () => {
  const text = "UPID:pve:0000C0DE:0012D687:67471A55:qmrestore:9200:root@pam!lab:";

  test("reads and prints", () => {
    expect(parseUpid(text)).toEqual({
      node: "pve",
      pid: 0xc0de,
      pstart: 0x12d687,
      startTime: 0x67471a55,
      type: "qmrestore",
      id: "9200",
      user: "root@pam!lab",
    });
    expect(printUpid(parseUpid(text))).toBe(text);
  });

  test("refuses anything else", () => {
    expect(() => parseUpid("UPID:pve:1:2:3:x::root@pam:")).toThrow("unable to parse worker upid 'UPID:pve:1:2:3:x::");
    expect(() => printUpid({ ...parseUpid(text), id: "local:iso" })).toThrow("unable to parse worker upid");
  });
});

describe("archive names", () => {
  test("reads volume ids, paths and file names", () => {
    const expected = {
      vmId: 200,
      time: new Date(2026, 10, 20, 2, 0, 5),
      wallClockSeconds: Date.UTC(2026, 10, 20, 2, 0, 5) / 1000,
      format: "vma.zst",
    };
    expect(parseArchiveName("nas:backup/vzdump-qemu-200-2026_11_20-02_00_05.vma.zst")).toEqual(expected);
    expect(parseArchiveName("/mnt/pve/nas/dump/vzdump-qemu-200-2026_11_20-02_00_05.vma.zst")).toEqual(expected);
    expect(parseArchiveName("vzdump-qemu-200-2026_11_20-02_00_05.vma")?.format).toBe("vma");
  });

  test.each([
    "vzdump-qemu-200-2026_11_20-02_00_05.vma.dat",
    "vzdump-qemu-200-2026_11_20-02_00_05.log",
    "vzdump-qemu-200-2026_13_20-02_00_05.vma.zst",
    "vzdump-lxc-200-2026_11_20-02_00_05.tar.zst",
    "vzdump-qemu-200-renamed.vma.zst",
    "xvzdump-qemu-200-2026_11_20-02_00_05.vma.zst",
  ])("%s is no finished archive of a VM", (name) => {
    expect(parseArchiveName(name)).toBeUndefined();
  });

  test("prints what it reads", () => {
    const name = "vzdump-qemu-9200-2026_01_02-03_04_05.vma.gz";
    expect(printArchiveName(9200, new Date(2026, 0, 2, 3, 4, 5), "vma.gz")).toBe(name);
  });

  test("agrees with a ctime that lies a UTC offset away, and with no other", () => {
    const name = parseArchiveName("vzdump-qemu-200-2026_11_20-02_00_05.vma.zst");
    if (name === undefined) throw new Error("The name was not read.");
    const utc = Date.UTC(2026, 10, 20, 2, 0, 5) / 1000;
    for (const hours of [0, 1, 5.75, 14, -12]) expect(agreesWithCtime(name, utc - hours * 3600)).toBe(true);
    for (const seconds of [1, 600, 15 * 3600, -13 * 3600]) expect(agreesWithCtime(name, utc - seconds)).toBe(false);
  });
});

describe("volume ids", () => {
  test("reads storage and name", () => {
    expect(parseVolumeId("nas:backup/x.vma")).toEqual({ storage: "nas", name: "backup/x.vma" });
    expect(() => parseVolumeId("/dev/sda")).toThrow("unable to parse volume ID '/dev/sda'");
  });

  test("knows the owner", () => {
    expect(ownerOfVolume("local-lvm:vm-9200-disk-0")).toBe(9200);
    expect(ownerOfVolume("local:9200/vm-9200-cloudinit.qcow2")).toBe(9200);
    expect(ownerOfVolume("local:import/image.qcow2")).toBeUndefined();
  });
});

describe("disk sizes", () => {
  test("reads and prints PVE's forms", () => {
    expect(parseDiskSize("8G")).toBe(8 * 1024 ** 3);
    expect(parseDiskSize("4096")).toBe(4096);
    expect(parseDiskSize("1.5K")).toBe(1536);
    expect(() => parseDiskSize("8 GB")).toThrow('the disk size "8 GB"');
    expect(printDiskSize(8 * 1024 ** 3)).toBe("8G");
    expect(printDiskSize(1025)).toBe("1025");
    expect(printDiskSize(0)).toBe("0");
    fc.assert(fc.property(fc.nat(), (bytes) => expect(parseDiskSize(printDiskSize(bytes))).toBe(bytes)));
  });
});

describe("VM configuration", () => {
  const text = [
    "#Docker host%3A production",
    "#homelab-run=x",
    "#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:",
    "boot: order=scsi0",
    "ide2: local-lvm:vm-200-cloudinit,media=cdrom",
    "memory: 2048",
    "net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0",
    "net10: virtio=BC:24:11:AA:BB:CD,bridge=vmbr1",
    "net2: virtio=BC:24:11:AA:BB:CE,bridge=vmbr1",
    "scsi0: local-lvm:vm-200-disk-0,size=8G",
    "unused0: local-lvm:vm-200-disk-1",
    "",
    "[before]",
    "memory: 512",
    "",
  ].join("\n");

  test("reads the current section only", () => {
    const config = parseVmConfig(text);
    expect(config["memory"]).toBe("2048");
    expect(config["description"]).toBe("Docker host: production\nhomelab-run=x");
    expect(diskKeys(config)).toEqual(["ide2", "scsi0"]);
    expect(networkKeys(config)).toEqual(["net0", "net2", "net10"]);
    expect(qmdumpMap(text)).toEqual([{ key: "scsi0", device: "drive-scsi0", storage: "local-lvm", format: "raw" }]);
    expect(qmdumpMap(text).map(printQmdumpEntry)).toEqual(["#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:"]);
  });

  test("prints what it reads, description first", () => {
    const printed = printVmConfig(parseVmConfig(text));
    expect(printed.split("\n").slice(0, 3)).toEqual([
      "#Docker host%3A production",
      "#homelab-run=x",
      "boot: order=scsi0",
    ]);
    expect(parseVmConfig(printed)).toEqual(parseVmConfig(text));
  });

  test("keeps any description", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (line) => {
        fc.pre(!line.includes("\n") && !line.startsWith("qmdump#"));
        expect(parseVmConfig(printVmConfig({ description: line }))["description"]).toBe(line.trimEnd());
      }),
    );
  });

  test("knows cloud-init drives and CD-ROMs", () => {
    expect(isCloudInitDrive("local-lvm:vm-200-cloudinit,media=cdrom,size=4M")).toBe(true);
    expect(isCloudInitDrive("file=local:200/vm-200-cloudinit.qcow2,media=cdrom")).toBe(true);
    expect(isCloudInitDrive("local:iso/cloudinit-tools.iso,media=cdrom")).toBe(false);
    expect(isCdrom("none,media=cdrom")).toBe(true);
    expect(isCdrom("local-lvm:vm-200-disk-0,size=8G")).toBe(false);
  });
});
