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
])("an archive with disks like this is taken: %s", (_what, config) => {
  expect(archiveFindings(inputs, config)).toEqual([]);
});

test("disks that the backup leaves out are named", () => {
  const config = "scsi0: a:vm-200-disk-0\nscsi1: a:vm-200-disk-1,backup=0\n#qmdump#map:scsi0:drive-scsi0:a:raw:\n";
  expect(archiveFindings(inputs, config)).toEqual([expect.stringContaining("does not hold scsi1 of VM 200")]);
});

test.each([
  ["none at all", "name: docker\nide2: none,media=cdrom\n", ", as a backup of a VM whose disks were taken out"],
  [
    "only those of firmware, TPM and cloud-init",
    "efidisk0: a:vm-200-disk-0\ntpmstate0: a:vm-200-disk-1\nide2: a:vm-200-cloudinit,media=cdrom\n" +
      "#qmdump#map:efidisk0:drive-efidisk0:a:raw:\n#qmdump#map:tpmstate0:drive-tpmstate0-backup:a:raw:\n",
    ", as a backup of a VM whose disks were taken out",
  ],
  ["only some that the backup leaves out", "scsi0: a:vm-200-disk-0,backup=0\n", " (scsi0 left out by backup=0)"],
])("an archive without data is refused: %s", (_what, config, why) => {
  expect(() => archiveFindings(inputs, config)).toThrow(
    `Unable to restore ${ARCHIVE}: it holds no disk with data of VM 200${why}. Name an older one: restorePoint {choose: named, archive: …}.`,
  );
});
