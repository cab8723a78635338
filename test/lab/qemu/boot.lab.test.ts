/** Real machines of every kind that archives hold: each firmware finds its disk on each bus. Their guests are a boot sector or a script. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { VmConfig } from "../../../lab/types";
import { BareMachine, GREETING } from "./bare-machine";

/** The firmware takes half a minute under emulation. */
jest.setTimeout(180_000);

async function consoleHas(machine: BareMachine, text: string): Promise<void> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const lines = (await machine.runner.consoleTail(200, 400)).join("\n");
    if (lines.includes(text)) return;
    if (Date.now() > deadline) throw new Error(`Unable to see "${text}" within 120 s. The console:\n${lines}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Moves the guest's disk to another key. */
function machineWith(key: string, config: VmConfig): BareMachine {
  const machine = new BareMachine("polite", config);
  const { scsi0 = "", ...others } = machine.config;
  const moved: VmConfig = { ...others, boot: `order=${key}`, [key]: scsi0 };
  for (const name of Object.keys(machine.config)) Reflect.deleteProperty(machine.config, name);
  Object.assign(machine.config, moved);
  return machine;
}

describe("SeaBIOS", () => {
  it.each([
    ["scsi0", { scsihw: "lsi" }],
    ["scsi3", { scsihw: "virtio-scsi-single" }],
    ["virtio0", {}],
    ["sata0", {}],
    ["sata0", { machine: "q35" }],
    ["ide0", {}],
    ["ide0", { machine: "q35" }],
    ["scsi0", { machine: "pc-q35-8.1", scsihw: "virtio-scsi-pci" }],
  ] satisfies [string, VmConfig][])("boots from %s of %o", async (key, config) => {
    await using machine = machineWith(key, config);
    await machine.start();
    await consoleHas(machine, GREETING);
  });
});

describe("OVMF", () => {
  const SCRIPT = "uefi script is here";

  /** A FAT disk with a script that the firmware's shell runs when it finds nothing else to boot. */
  function addScript(machine: BareMachine): void {
    const disk = machine.volumes.pathOf("disks:vm-200-disk-0");
    writeFileSync(disk, Buffer.alloc(4 * 1024 * 1024));
    const script = join(machine.dir, "startup.nsh");
    writeFileSync(script, `echo "${SCRIPT}"\r\n`);
    execFileSync("mformat", ["-i", disk, "-h", "16", "-s", "63", "-t", "8", "::"]);
    execFileSync("mcopy", ["-i", disk, script, "::startup.nsh"]);
  }

  it.each([
    ["sata0", { machine: "q35", efitype: "4m" }],
    ["scsi0", { scsihw: "virtio-scsi-pci", efitype: "2m" }],
  ])(
    "boots from %s of %o and keeps its variables on the EFI disk, with a TPM beside it",
    async (key, { efitype, ...config }) => {
      await using machine = machineWith(key, { ...config, bios: "ovmf", memory: "256" });
      addScript(machine);
      const size = efitype === "4m" ? "_4M" : "";
      const variables = machine.volumes.pathOf("disks:vm-200-disk-1");
      const template = `/usr/share/OVMF/OVMF_VARS${size}.fd`;
      execFileSync("cp", [template, variables]);
      writeFileSync(machine.volumes.pathOf("disks:vm-200-disk-2"), Buffer.alloc(4 * 1024 * 1024));
      Object.assign(machine.config, {
        efidisk0: `disks:vm-200-disk-1,efitype=${efitype}`,
        tpmstate0: "disks:vm-200-disk-2,version=v2.0",
      });
      await machine.start();
      await consoleHas(machine, SCRIPT);
      const blocks = await machine.runner.qmp(200)?.execute<{ device: string }[]>("query-block");
      expect(blocks?.map(({ device }) => device)).toContain("drive-efidisk0");
      await machine.runner.stop(200);
      expect(() => execFileSync("cmp", ["-s", template, variables])).toThrow();
      expect(() =>
        execFileSync("cmp", ["-s", "-n", "4194304", "/dev/zero", machine.volumes.pathOf("disks:vm-200-disk-2")]),
      ).toThrow();
    },
  );

  it("boots without an EFI disk", async () => {
    await using machine = machineWith("virtio0", { bios: "ovmf", memory: "256" });
    addScript(machine);
    await machine.start();
    await consoleHas(machine, SCRIPT);
    expect(machine.log).toContain("no efidisk configured! Using temporary efivars disk.");
  });
});
