import { planVolumes, restoreConfig, type RestoreConfigArgs } from "../../../lab/backup/restore-config";

const ARCHIVED = `#The central VM
agent: enabled=1
boot: order=scsi0
ide2: local-lvm:vm-200-cloudinit,media=cdrom
ipconfig0: ip=192.168.20.200/24,gw=192.168.20.1
lock: backup
memory: 4096
name: docker
net0: virtio=BC:24:11:00:02:00,bridge=vmbr0,firewall=1
net1: e1000=BC:24:11:00:02:01,bridge=vmbr1
onboot: 1
parent: before-upgrade
protection: 1
scsi0: local-lvm:vm-200-disk-0,format=raw,iothread=1,size=8G
scsi1: local-lvm:vm-200-disk-1,backup=0,size=1G
smbios1: uuid=11111111-2222-3333-4444-555555555555,manufacturer=QUNNRQ==,base64=1
unused0: local-lvm:vm-200-disk-9
vmgenid: 66666666-7777-8888-9999-000000000000
#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:
`;

const random = (): NonNullable<RestoreConfigArgs["random"]> => {
  let macs = 0;
  let uuids = 0;
  return {
    mac: () => `BC:24:11:FF:FF:0${++macs}`,
    uuid: () => `ffffffff-0000-0000-0000-00000000000${++uuids}`,
  };
};

const restored = (args: Partial<RestoreConfigArgs> = {}): Record<string, string> =>
  restoreConfig({
    text: ARCHIVED,
    volumes: { scsi0: "local-lvm:vm-9200-disk-0", ide2: "local-lvm:vm-9200-cloudinit" },
    unique: false,
    overrides: {},
    random: random(),
    ...args,
  });

describe("a restored configuration", () => {
  test("leaves out lock, unused disks, parent and the map", () => {
    const config = restored();
    for (const key of ["lock", "unused0", "parent"]) expect(config).not.toHaveProperty(key);
    expect(JSON.stringify(config)).not.toContain("qmdump");
  });

  test("points disks to their new volumes; the format is the storage's business, the rest stays", () => {
    expect(restored()["scsi0"]).toBe("local-lvm:vm-9200-disk-0,iothread=1,size=8G");
  });

  test("has a new cloud-init drive", () => {
    expect(restored()["ide2"]).toBe("local-lvm:vm-9200-cloudinit,media=cdrom");
  });

  test("makes a disk that was not backed up a comment", () => {
    const config = restored();
    expect(config).not.toHaveProperty("scsi1");
    expect(config["description"]).toBe("The central VM\nscsi1: local-lvm:vm-200-disk-1,backup=0,size=1G");
  });

  test("keeps a disk line without new volume, as PVE does", () => {
    expect(restored({ volumes: {} })["scsi0"]).toBe("local-lvm:vm-200-disk-0,format=raw,iothread=1,size=8G");
  });

  test("keeps cards and SMBIOS without unique, but always draws a new generation id", () => {
    const config = restored();
    expect(config["net0"]).toBe("virtio=BC:24:11:00:02:00,bridge=vmbr0,firewall=1");
    expect(config["smbios1"]).toContain("uuid=11111111-2222-3333-4444-555555555555");
    expect(config["vmgenid"]).toBe("ffffffff-0000-0000-0000-000000000001");
  });

  test("keeps a switched-off generation id", () => {
    expect(restored({ text: "vmgenid: 0\n" })["vmgenid"]).toBe("0");
  });

  test("draws every MAC and the SMBIOS UUID with unique, and keeps their other options", () => {
    const config = restored({ unique: true });
    expect(config["net0"]).toBe("virtio=BC:24:11:FF:FF:01,bridge=vmbr0,firewall=1");
    expect(config["net1"]).toBe("e1000=BC:24:11:FF:FF:02,bridge=vmbr1");
    expect(config["smbios1"]).toBe("uuid=ffffffff-0000-0000-0000-000000000001,manufacturer=QUNNRQ==,base64=1");
  });

  test("keeps what could act on the world: onboot, protection, addresses", () => {
    expect(restored({ unique: true })).toMatchObject({
      onboot: "1",
      protection: "1",
      ipconfig0: "ip=192.168.20.200/24,gw=192.168.20.1",
    });
  });

  test("takes overrides as whole keys, draws a missing MAC, and cannot remove a key", () => {
    const config = restored({
      overrides: { name: "drill-docker", net0: "virtio,bridge=vmbr99", onboot: "0", tags: "drill" },
    });
    expect(config).toMatchObject({
      name: "drill-docker",
      net0: "virtio=BC:24:11:FF:FF:01,bridge=vmbr99",
      net1: "e1000=BC:24:11:00:02:01,bridge=vmbr1",
      onboot: "0",
      tags: "drill",
      memory: "4096",
    });
  });

  test("draws from PVE's MAC prefix", () => {
    expect(restored({ unique: true, random: undefined })["net0"]).toMatch(
      /^virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0/,
    );
  });
});

describe("the volumes of a restore", () => {
  const device = { id: 1, name: "drive-scsi0", sizeBytes: 8 * 1024 ** 3 };

  test("are one per mapped disk, on its own storage, and a new cloud-init drive", () => {
    expect(planVolumes(ARCHIVED, [device], undefined)).toEqual([
      { key: "ide2", storage: "local-lvm", sizeBytes: 4 * 1024 ** 2, device: undefined },
      { key: "scsi0", storage: "local-lvm", sizeBytes: 8 * 1024 ** 3, device },
    ]);
  });

  test("go to the given storage", () => {
    expect(planVolumes(ARCHIVED, [device], "fast").map((volume) => volume.storage)).toEqual(["fast", "fast"]);
  });

  test("go to 'local' when the archive names no storage", () => {
    const text = "scsi0: /dev/sdb\n#qmdump#map:scsi0:drive-scsi0::raw:\n";
    expect(planVolumes(text, [device], undefined)[0]?.storage).toBe("local");
  });

  test("need data for each mapped disk, and a mapped disk for all data", () => {
    expect(() => planVolumes(ARCHIVED, [{ ...device, name: "drive-virtio0" }], undefined)).toThrow(
      "archive does not contain data for drive 'scsi0'",
    );
    expect(() => planVolumes(ARCHIVED, [device, { id: 2, name: "drive-scsi7", sizeBytes: 1 }], undefined)).toThrow(
      "found no device mapping information for device 'drive-scsi7'",
    );
  });
});
