import { type CommandLine, commandLine } from "../../../lab/qemu/command-line";

const files = {
  qmpSocket: "/lab/run/200.qmp",
  agentSocket: "/lab/run/200.qga",
  pidFile: "/lab/run/200.pid",
  consoleLog: "/lab/run/200.console.log",
  efiVariables: "/lab/run/200.efivars",
  tpmSocket: "/lab/run/200.tpm",
};

function build(config: Record<string, string>): CommandLine {
  const pathOf = (volumeId: string): string => `/lab/storage/${volumeId.replace(":", "/")}`;
  return commandLine({ vmId: 200, config, files, accelerator: "tcg", nodeCores: 2, pathOf });
}

/** The arguments of an option, in order. */
function values(config: Record<string, string>, option: string): string[] {
  const { args } = build(config);
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1] ?? ""] : []));
}

function device(config: Record<string, string>, id: string): string | undefined {
  return values(config, "-device").find((value) => value.split(",").includes(`id=${id}`));
}

describe("drives", () => {
  it("name the backend as PVE does and hang on PVE's controller and slot", () => {
    const config = {
      scsihw: "virtio-scsi-single",
      scsi0: "local-lvm:vm-200-disk-0,discard=on,ssd=1,size=8G",
      boot: "order=scsi0",
    };
    expect(values(config, "-drive")).toEqual([
      "file=/lab/storage/local-lvm/vm-200-disk-0,if=none,id=drive-scsi0,format=raw,cache=unsafe,aio=threads,discard=on,detect-zeroes=unmap",
    ]);
    expect(device(config, "virtioscsi0")).toBe("virtio-scsi-pci,id=virtioscsi0,bus=pci.0,addr=0x5");
    expect(device(config, "scsi0")).toBe(
      "scsi-hd,bus=virtioscsi0.0,drive=drive-scsi0,id=scsi0,channel=0,scsi-id=0,lun=0,rotation_rate=1,bootindex=100",
    );
  });

  it("share one virtio-scsi-pci controller and have one each with virtio-scsi-single", () => {
    const disks = { scsi0: "l1:vm-200-disk-0", scsi1: "l1:vm-200-disk-1" };
    const controllers = (scsihw: string): number =>
      values({ ...disks, scsihw }, "-device").filter((value) => value.startsWith("virtio-scsi-pci")).length;
    expect(controllers("virtio-scsi-pci")).toBe(1);
    expect(controllers("virtio-scsi-single")).toBe(2);
  });

  it("go on virtio, SATA and IDE too", () => {
    const config = { virtio1: "l1:vm-200-disk-0", sata0: "l1:vm-200-disk-1", ide3: "l1:vm-200-disk-2" };
    expect(device(config, "virtio1")).toBe("virtio-blk-pci,bus=pci.0,drive=drive-virtio1,id=virtio1,addr=0xb");
    expect(device(config, "sata0")).toBe("ide-hd,bus=ahci0.0,drive=drive-sata0,id=sata0");
    expect(device(config, "ide3")).toBe("ide-hd,drive=drive-ide3,id=ide3,bus=ide.1,unit=1,bootindex=100");
  });

  it("are read-only as CD-ROM, and may be empty", () => {
    const config = { ide2: "local-lvm:vm-200-cloudinit,media=cdrom", ide0: "none,media=cdrom" };
    expect(values(config, "-drive")).toEqual([
      "if=none,id=drive-ide0,media=cdrom",
      "file=/lab/storage/local-lvm/vm-200-cloudinit,if=none,id=drive-ide2,media=cdrom,format=raw,cache=unsafe,aio=threads,readonly=on",
    ]);
    expect(device(config, "ide2")).toMatch(/^ide-cd,/);
  });

  it("boot in the configured order, else from the first disk", () => {
    const config = { scsi0: "l1:a-disk-0", scsi1: "l1:a-disk-1", ide2: "none,media=cdrom" };
    const order = (boot?: string): (string | undefined)[] =>
      ["scsi0", "scsi1", "ide2"].map(
        (key) => /bootindex=(\d+)/.exec(device({ ...config, ...(boot ? { boot } : {}) }, key) ?? "")?.[1],
      );
    expect(order("order=scsi1;net0;ide2")).toEqual([undefined, "100", "102"]);
    expect(order()).toEqual(["100", undefined, "101"]);
  });

  it("tell what has no effect and refuse what is unknown", () => {
    expect(build({ virtio0: "l1:d,iothread=1,cache=none,mbps_rd=10,backup=0,replicate=0" }).notes).toEqual(
      expect.arrayContaining([
        "virtio0: iothread=1 has no effect in the lab",
        "virtio0: cache=none has no effect in the lab",
        "virtio0: mbps_rd=10 has no effect in the lab",
      ]),
    );
    expect(() => build({ virtio0: "l1:d,speling=1" })).toThrow(/VM 200.*virtio0.*"speling"/);
  });

  it("escape commas in paths", () => {
    expect(values({ virtio0: "l1:a.b" }, "-drive")[0]).toContain("file=/lab/storage/l1/a.b,");
    const pathOf = (): string => "/lab,2/disk";
    const { args } = commandLine({
      vmId: 200,
      config: { virtio0: "l1:d" },
      files,
      accelerator: "tcg",
      nodeCores: 2,
      pathOf,
    });
    expect(args.join(" ")).toContain("file=/lab,,2/disk,if=none");
  });
});

describe("firmware", () => {
  const pflash = (config: Record<string, string>): string[] =>
    values(config, "-drive").filter((value) => value.startsWith("if=pflash"));

  it("is SeaBIOS by default, whatever EFI disk lies about", () => {
    expect(pflash({ efidisk0: "l1:vm-200-disk-0,size=4M" })).toEqual([]);
    expect(build({}).firmware).toEqual({ args: [], notes: [] });
  });

  it("is OVMF with the variables of the EFI disk, under the name that backups use", () => {
    const config = { bios: "ovmf", efidisk0: "l1:vm-200-disk-0,efitype=4m,pre-enrolled-keys=1,size=4M" };
    expect(pflash(config)).toEqual([
      "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
      "if=pflash,unit=1,id=drive-efidisk0,format=raw,cache=unsafe,size=540672,file=/lab/storage/l1/vm-200-disk-0",
    ]);
    expect(build(config).notes).toEqual(["efidisk0: Secure Boot is not enforced in the lab"]);
  });

  it("of years ago is the small one", () => {
    expect(pflash({ bios: "ovmf", efidisk0: "l1:vm-200-disk-0,size=128K" })).toEqual([
      "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd",
      "if=pflash,unit=1,id=drive-efidisk0,format=raw,cache=unsafe,size=131072,file=/lab/storage/l1/vm-200-disk-0",
    ]);
  });

  it("without an EFI disk forgets its variables, and says so", () => {
    const { firmware, notes } = build({ bios: "ovmf" });
    expect(firmware.temporaryVariables).toBe("/usr/share/OVMF/OVMF_VARS_4M.fd");
    expect(pflash({ bios: "ovmf" })[1]).toContain("file=/lab/run/200.efivars");
    expect(notes).toEqual(["no efidisk configured! Using temporary efivars disk."]);
  });

  it("has a TPM whose state is its volume", () => {
    const config = { tpmstate0: "l1:vm-200-disk-1,size=4M,version=v2.0" };
    expect(build(config).firmware.tpm).toEqual({ state: "/lab/storage/l1/vm-200-disk-1", version: "v2.0" });
    expect(values(config, "-tpmdev")).toEqual(["emulator,id=tpmdev,chardev=tpmchar"]);
  });

  it.each([
    [{ bios: "ovmf", efidisk0: "l1:e,efitype=8m" }, 'efidisk0: the lab knows no efitype "8m"; use 4m or 2m'],
    [{ tpmstate0: "l1:t,version=v3" }, 'tpmstate0: the lab knows no TPM version "v3"; use v2.0 or v1.2'],
  ])("refuses %o", (config: Record<string, string>, problem) => {
    expect(() => build(config)).toThrow(`Unable to start VM 200: ${problem}.`);
  });
});

describe("a CD-ROM", () => {
  it("whose image is not in the lab is an empty drive", () => {
    const config = { ide2: "local:iso/debian-12.iso,media=cdrom,size=600M" };
    const pathOf = (volumeId: string): string => `/lab/storage/${volumeId.replace(":", "/")}`;
    const args = { vmId: 200, config, files, accelerator: "tcg", nodeCores: 2, pathOf } as const;
    const { args: words, notes } = commandLine({ ...args, hasMedium: () => false });
    expect(words).toContain("if=none,id=drive-ide2,media=cdrom");
    expect(notes).toEqual(["ide2: 'local:iso/debian-12.iso' is not in the lab, so the drive is empty"]);
  });
});

describe("network cards", () => {
  it("have PVE's slot, a tap of their own and their bridge", () => {
    const { cards, args } = build({ net0: "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1,link_down=1" });
    expect(cards).toEqual([{ key: "net0", tap: "tap200i0", bridge: "vmbr0", linkDown: true }]);
    expect(args).toContain("tap,id=netdev-net0,ifname=tap200i0,script=no,downscript=no");
    expect(args).toContain(
      "virtio-net-pci,mac=BC:24:11:AA:BB:CC,netdev=netdev-net0,id=net0,bus=pci.0,romfile=,addr=0x12",
    );
  });

  it.each([
    ["virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,trunks=20;30", /trunks=20;30.*no trunks/],
    ["virtio=BC:24:11:AA:BB:CC", /net0 has no bridge/],
    ["virtio,bridge=vmbr0", /no mac address/],
    ["pcnet=BC:24:11:AA:BB:CC,bridge=vmbr0", /"pcnet"/],
  ])("refuse %s", (net0, problem) => {
    expect(() => build({ net0 })).toThrow(problem);
  });
});

describe("machine", () => {
  it("has the processor type's instruction set, cores and memory", () => {
    const config = { cpu: "x86-64-v2-AES", cores: "2", sockets: "2", memory: "2048" };
    expect(values(config, "-cpu")).toEqual(["qemu64,+popcnt,+ssse3,+sse4.1,+sse4.2"]);
    expect(values(config, "-smp")).toEqual(["4,sockets=2,cores=2,maxcpus=4"]);
    expect(values(config, "-m")).toEqual(["2048"]);
    expect(build(config).notes).toEqual([
      "WARN: 4 virtual cores on a node with 2",
      "cpu type 'x86-64-v2-AES' is emulated without AES instructions",
    ]);
    expect(build({ cpu: "host" }).notes).toEqual(["cpu type 'host' is emulated as x86-64-v3"]);
  });

  it("carries its identity", () => {
    const config = {
      smbios1: `uuid=11111111-2222-4333-8444-555555555555,manufacturer=${Buffer.from("A, B").toString("base64")},base64=1`,
      vmgenid: "aaaaaaaa-2222-4333-8444-555555555555",
      name: "docker",
    };
    expect(values(config, "-uuid")).toEqual(["11111111-2222-4333-8444-555555555555"]);
    expect(values(config, "-smbios")).toEqual(["type=1,uuid=11111111-2222-4333-8444-555555555555,manufacturer=A,, B"]);
    expect(values(config, "-device")).toContain("vmgenid,guid=aaaaaaaa-2222-4333-8444-555555555555");
    expect(values({ vmgenid: "0" }, "-device").join()).not.toContain("vmgenid");
  });

  it("has the agent's port only if the configuration enables it", () => {
    expect(build({ agent: "enabled=1,fstrim_cloned_disks=1" }).hasAgent).toBe(true);
    expect(build({ agent: "1" }).hasAgent).toBe(true);
    expect(build({ agent: "enabled=0" }).hasAgent).toBe(false);
    expect(build({}).hasAgent).toBe(false);
  });

  it("keeps PVE's bus name on q35", () => {
    expect(device({ machine: "pc-q35-9.2+pve1", virtio0: "l1:d" }, "pci.0")).toMatch(/^pci-bridge/);
    expect(values({ machine: "q35" }, "-machine")).toEqual(["q35"]);
    expect(values({ machine: "pc-i440fx-9.2" }, "-machine")).toEqual(["pc"]);
  });

  it("names every setting that it can't honour, at once", () => {
    const config = {
      bios: "coreboot",
      serial0: "/dev/ttyS0",
      virtiofs0: "media",
      hostpci0: "0000:01:00.0",
      usb0: "host=1:2",
      args: "-x",
      hookscript: "l:s",
    };
    let message = "";
    try {
      build(config);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/^Unable to start VM 200: /);
    for (const key of Object.keys(config)) expect(message).toContain(`${key}=`);
  });
});
