import { archiveFindings } from "../../provider/archive-findings";

const ARCHIVE = "nas:backup/vzdump-qemu-200-2026_11_20-02_00_00.vma.zst";
const inputs = {
  restorePoint: { archive: ARCHIVE, archiveTime: 1795140000, archiveBytes: 1, notes: "" },
  sourceVmId: 200,
};

test("an archive of another VM under this one's name is refused", () => {
  expect(() =>
    archiveFindings(inputs, "scsi0: local-lvm:vm-137-disk-0,size=8G\nide2: local-lvm:vm-137-cloudinit\n"),
  ).toThrow(
    `Unable to restore ${ARCHIVE}: it is named as an archive of VM 200, and the disks in it are those of VM 137. ` +
      "Give the file its own name again, or choose another archive (restorePoint).",
  );
});

test.each([
  ["its own", "scsi0: local-lvm:vm-200-disk-0,size=8G\n"],
  [
    "one of its own beside one that was borrowed",
    "scsi0: local:200/vm-200-disk-0.raw\nscsi1: local-lvm:vm-137-disk-1\n",
  ],
  ["names that tell nothing", "scsi0: /dev/disk/by-id/ata-1\nscsi1: rpool:base-9000-disk-0/vm-200-disk-0\n"],
  ["none", "ide2: none,media=cdrom\n"],
])("an archive with disks like this is taken: %s", (_what, config) => {
  expect(archiveFindings(inputs, config)).toEqual([]);
});

test("disks that the backup leaves out are named", () => {
  const config = "scsi0: a:vm-200-disk-0\nscsi1: a:vm-200-disk-1,backup=0\n#qmdump#map:scsi0:drive-scsi0:a:raw:\n";
  expect(archiveFindings(inputs, config)).toEqual([expect.stringContaining("does not hold scsi1 of VM 200")]);
});
