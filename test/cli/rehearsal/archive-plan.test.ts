import { join } from "node:path";
import { planArchiveDrill, type ArchivePlan, type Host } from "../../../cli/rehearsal/archive-plan";
import type { ArchiveFile } from "../../../cli/rehearsal/archive-file";
import { drillStack } from "../../../cli/rehearsal/steps";
import { readStackFiles, type StackFiles } from "../../../cli/lab/stack-files";
import { parse } from "yaml";

const GIB = 2 ** 30;
const host: Host = { memoryMiB: 16_384, cores: 4, diskBytes: 500 * GIB };
const archive: ArchiveFile = {
  path: "/home/me/vzdump-qemu-137-2024_02_03-04_05_06.vma.gz",
  bytes: 5 * GIB,
  vmId: 137,
  name: "vzdump-qemu-137-2024_02_03-04_05_06.vma.gz",
  diskBytes: 400 * GIB,
  memoryMiB: 4096,
  sockets: 1,
  cores: 2,
  remarks: ["Disk scsi1 is not in the archive (backup=0): the VM comes back without it."],
};

let files: StackFiles;
beforeAll(async () => (files = await readStackFiles(join(__dirname, "..", "..", ".."))));

function plan(changes: Partial<ArchiveFile> = {}, computer: Partial<Host> = {}): ArchivePlan {
  return planArchiveDrill(files, drillStack({ files }), { ...archive, ...changes }, { ...host, ...computer });
}

describe("the drill of an operator's archive", () => {
  it("is generic, names the archive and runs the VM as it was, on the storages of the committed stacks", () => {
    const { drill, files: planned, storageBytes } = plan();
    expect(drill.config.dockerVm.vmId).toBe(137);
    expect(drill.config.drill).toEqual({
      vmId: 9200,
      name: "docker-drill",
      pool: "homelab-drill",
      isolatedBridge: "vmbr99",
      expiresAfterHours: 24,
      storage: "local-lvm",
      profile: "generic",
      restorePoint: { choose: "named", archive: "nas:backup/vzdump-qemu-137-2024_02_03-04_05_06.vma.gz" },
    });
    expect(storageBytes).toBe(800 * GIB);
    expect(Object.keys(planned.texts)).toEqual(["drill"]);
    const { config } = parse(planned.texts["drill"] ?? "") as { config: Record<string, unknown> };
    expect(config["homelab:drill"]).toEqual(drill.config.drill);
    expect(config["homelab:timeouts"]).toMatchObject({ restoreSeconds: 14_400, agentSeconds: 3_600 });
  });

  it("takes nothing from a prod stack but node, bridges and storages", () => {
    const { files: planned } = plan();
    expect(planned.images).toEqual([]);
    expect(planned.secretKeys).toEqual([]);
    expect(planned.prod.config.backup.storage).toEqual({ type: "existing" });
  });

  it("restores beside a VM of the drill's own VMID", () => {
    expect(plan({ vmId: 9200 }).drill.config.drill.vmId).toBe(9201);
  });

  it("says what it changes: less memory and fewer cores are findings in the evidence", () => {
    const { drill, notes } = plan({ memoryMiB: 32_768, sockets: 2, cores: 8 });
    expect(drill.config.drill).toMatchObject({ memoryMiB: 15_360, cores: 2 });
    expect(notes).toEqual([
      "The operator's own archive vzdump-qemu-137-2024_02_03-04_05_06.vma.gz of VM 137, drilled without a prod stack.",
      "Disk scsi1 is not in the archive (backup=0): the VM comes back without it.",
      "The VM runs with 15360 MiB instead of 32768 MiB, which this computer can't spare.",
      "The VM runs with 2 instead of 8 cores a socket; this computer has 4.",
    ]);
    expect(drill.config.environmentNotes).toEqual(notes);
  });

  it("is refused with both numbers where the computer is too small", () => {
    expect(() => plan({}, { memoryMiB: 1500 })).toThrow(
      "Unable to rehearse the archive /home/me/vzdump-qemu-137-2024_02_03-04_05_06.vma.gz: its VM has 4096 MiB of memory " +
        "and this computer has 1500 MiB free, of which 1024 MiB are needed beside the VM. End other programs first.",
    );
    expect(() => plan({}, { diskBytes: 3 * GIB })).toThrow(
      "Unable to rehearse the archive /home/me/vzdump-qemu-137-2024_02_03-04_05_06.vma.gz: it has 5.0 GiB and this computer " +
        "has 3.0 GiB left below /var/tmp, where the restored disks go. Make room there.",
    );
  });
});
