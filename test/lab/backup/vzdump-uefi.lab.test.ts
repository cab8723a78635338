/** Backup and restore of a running UEFI machine with a TPM and disks on SATA and IDE: every volume is in the archive and comes back. */
import { copyFileSync } from "node:fs";
import { firmwareOf } from "../../../lab/qemu/firmware";
import { parseVmConfig } from "../../../pve/vm-config";
import { MIB, noise } from "./engine-fixture";
import { makeGuest, ObservedMachines } from "./vzdump-guest";

jest.setTimeout(60_000);

const CONFIG = `bios: ovmf
boot: order=sata0
efidisk0: local-lvm:vm-200-disk-3,efitype=4m,pre-enrolled-keys=1,size=528K
ide1: local-lvm:vm-200-disk-1,cache=writeback,size=8M
machine: q35
memory: 128
name: docker
sata0: local-lvm:vm-200-disk-0,discard=on,mbps_rd=50,size=24M
tpmstate0: local-lvm:vm-200-disk-4,size=4M,version=v2.0
`;

test("everything of a UEFI machine is in its archive", async () => {
  const { fixture, runner } = await makeGuest(new ObservedMachines());
  try {
    fixture.configs.set(200, CONFIG);
    const efi = await fixture.volumes.allocateDisk("local-lvm", 200, 528 * 1024);
    const tpm = await fixture.volumes.allocateDisk("local-lvm", 200, 4 * MIB);
    const firmware = firmwareOf(parseVmConfig(CONFIG));
    copyFileSync(firmware?.variables ?? "", fixture.volumes.pathOf(efi));
    // Not a disk's last sector, so that an odd size shows too.
    fixture.volumes.write("local-lvm:vm-200-disk-1", 5 * MIB, noise(MIB, 9));
    await runner.start(200, parseVmConfig(CONFIG), fixture.context(), { paused: true });
    const context = fixture.context();
    await fixture.backup({ mode: "snapshot", compress: "lzo" }, context);
    await runner.stop(200);
    expect(context.lines.filter((line) => line.includes("include disk")).map((line) => line.split(" ").at(-2))).toEqual(
      [
        "'local-lvm:vm-200-disk-3'",
        "'local-lvm:vm-200-disk-1'",
        "'local-lvm:vm-200-disk-0'",
        "'local-lvm:vm-200-disk-4'",
      ],
    );

    const restored = await fixture.restore(
      { archivePath: fixture.archive(), storage: "local-lvm", unique: true },
      fixture.context(),
    );
    expect(restored).toMatchObject({ bios: "ovmf", machine: "q35", boot: "order=sata0" });
    for (const [key, source] of [
      ["efidisk0", efi],
      ["ide1", "local-lvm:vm-200-disk-1"],
      ["sata0", "local-lvm:vm-200-disk-0"],
      ["tpmstate0", tpm],
    ] as const) {
      const [volume = "", ...options] = (restored[key] ?? "").split(",");
      expect(volume).toMatch(/^local-lvm:vm-9200-disk-\d$/);
      expect(fixture.volumes.read(volume).equals(fixture.volumes.read(source))).toBe(true);
      expect(options).toEqual((parseVmConfig(CONFIG)[key] ?? "").split(",").slice(1));
    }
    // The copy starts under its own volumes.
    await runner.start(9200, restored, fixture.context());
    expect(runner.status(9200).qmpStatus).toBe("running");
  } finally {
    await runner[Symbol.asyncDispose]();
    fixture.remove();
  }
});
