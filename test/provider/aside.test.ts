/** What proves the VM that keeps a replaced VM's disks, and what the report says of it. */
import { asideName, asideParameters, disksOf, keptConfig, parseAsideMark, unmovable } from "../../provider/aside-vm";
import { asideLines, asideSummary } from "../../provider/aside-report";
import { markOn } from "../../provider/ownership";
import type { Evidence } from "../../provider/contract/evidence";
import { evidenceFromJournal } from "../../provider/evidence";

const CONFIG = {
  ...{
    name: "docker",
    description: "Docker host\nhomelab-run=20261120T010000Z-drill-abcdef",
    digest: "d",
    cipassword: "**********",
  },
  ...{
    efidisk0: "local-lvm:vm-200-disk-1,size=4M",
    scsi0: "local-lvm:vm-200-disk-0,size=8G",
    unused0: "local:200/vm-200-disk-2.raw",
  },
  ...{
    ide2: "local-lvm:vm-200-cloudinit,media=cdrom",
    ide3: "none,media=cdrom",
    net0: "virtio=BC:24:11:00:00:01,bridge=vmbr0",
  },
};
const MARK = {
  ...{
    began: "20261121T010000Z-emergency-abcdef",
    vmId: 200,
    vmName: "docker",
    vmUuid: "11111111-2222-4333-8444-555555555555",
  },
  disks: ["efidisk0", "scsi0", "unused0"],
};

test("disks are what a destroy would delete, but not the cloud-init drive and the CD-ROM", () => {
  expect(disksOf(CONFIG).map(({ disk }) => disk)).toEqual(["efidisk0", "scsi0", "unused0"]);
  expect(unmovable({ ...CONFIG, sata0: "/dev/sdb", sata1: "nas:9/vm-9-disk-0.raw" }, 200)).toEqual([
    { disk: "sata0", volume: "/dev/sdb" },
    { disk: "sata1", volume: "nas:9/vm-9-disk-0.raw" },
  ]);
});

test("the description gives the mark back, holds the old configuration, and is no mark of a run", () => {
  const { description, ...rest } = asideParameters({ vmid: 8200, pool: "homelab-prod" }, MARK, CONFIG);
  expect(rest).toEqual({ vmid: 8200, pool: "homelab-prod", name: "docker-aside", onboot: false, protection: true });
  expect(parseAsideMark(String(description))).toEqual(MARK);
  expect(description).toContain("    net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n");
  expect(description).not.toMatch(/cipassword|digest/);
  expect(markOn({ description: String(description) })).toBeUndefined();
});

test("a configuration that is too long for a description stands in the evidence only", () => {
  const long = { ...CONFIG, sshkeys: "x".repeat(7000) };
  const { description } = asideParameters({ vmid: 8200, pool: "homelab-prod" }, MARK, long);
  expect(String(description).length).toBeLessThan(8192);
  expect(description).toContain("Its configuration is in that run's evidence.");
  expect(keptConfig(long)).toContain("sshkeys: xxx");
});

test.each([
  undefined,
  "",
  "homelab-aside=r",
  "homelab-aside=r\nhomelab-aside-disks=scsi0",
  "homelab-aside=r\nhomelab-aside-of=200 docker\nhomelab-aside-disks=scsi0",
])("a description with half of the mark proves nothing: %j", (description) => {
  expect(parseAsideMark(description)).toBeUndefined();
});

test("a name that is long already stays within Proxmox' limit", () => {
  expect(asideName("a".repeat(63))).toHaveLength(63);
});

const at = "2026-11-21T01:00:00.000Z";
const base = { at, runId: "r" };
const STARTED = {
  ...{
    ...base,
    type: "run-started" as const,
    kind: "emergency" as const,
    stack: "restore",
    node: "pve",
    vmId: 200,
    vmName: "docker",
  },
  ...{ vmUuid: MARK.vmUuid, sourceVmId: 200, rtoTargetSeconds: 1, rpoTargetSeconds: 1, environmentNotes: [], pid: 1 },
  restorePoint: { archive: "nas:backup/a", archiveTime: 1, archiveBytes: 1, notes: "" },
};
const REPLACING = {
  ...{
    ...base,
    type: "replacing" as const,
    asideVmId: 8200,
    asideName: "docker-aside",
    began: "r",
    disks: ["scsi0", "scsi1"],
    reason: "x",
  },
};
const KEPT = { ...base, type: "disk-set-aside" as const, disk: "scsi0", volume: "local-lvm:vm-8200-disk-0" };

const ended = (verdict: Evidence["verdict"]): Parameters<typeof evidenceFromJournal>[0][number] => ({
  ...{ ...base, type: "run-ended", verdict, reasons: [] },
});
const REPLACED = { ...base, type: "replaced" as const };

test("a run that replaced nothing says nothing", () => {
  const evidence = evidenceFromJournal([STARTED, ended("passed")]);
  expect([evidence.aside, asideLines(evidence), asideSummary(evidence)]).toEqual([null, [], undefined]);
});

test("after a pass the report says how to remove the old VM, and how to read it", () => {
  const evidence = evidenceFromJournal([
    STARTED,
    REPLACING,
    KEPT,
    { ...KEPT, disk: "scsi1", volume: "b" },
    REPLACED,
    ended("passed"),
  ]);
  const text = asideLines(evidence).join("\n");
  expect(text).toContain("- scsi0: local-lvm:vm-8200-disk-0\n- scsi1: b\n");
  expect(text).toContain(
    "its firewall rules (/etc/pve/firewall/200.fw; a backup holds its own) and the rights granted on /vms/200 (to be granted anew)",
  );
  expect(text).toContain("`qm set 8200 --protection 0 && qm destroy 8200`. Nothing here ever does that.");
  expect(text).toContain("`qm disk move 8200 scsi0 --target-vmid <other> --target-disk scsi5`");
  expect(text).not.toContain("```sh");
  expect(asideSummary(evidence)).toBe(
    'VM 8200 ("docker-aside") keeps scsi0, scsi1 of the old VM 200; the report says how to use, bring back or remove it',
  );
});

test.each(["failed", "aborted"] as const)(
  "half-way (%s) a move that nothing confirmed leaves both places open, and nothing is to be destroyed",
  (verdict) => {
    const evidence = evidenceFromJournal([STARTED, REPLACING, KEPT, ended(verdict)]);
    const text = asideLines(evidence).join("\n");
    expect(text).toContain("- scsi0: local-lvm:vm-8200-disk-0\n- scsi1: in VM 200 or already in VM 8200\n");
    expect(text).toContain("Where scsi1 is, `qm config 200` and `qm config 8200` say on pve. What neither names");
    expect(text).toContain("`qm disk rescan --vmid 8200`");
    expect(text).toContain("Run the restore again: it goes on where this run ended.");
    expect(text).toContain("`qm disk move 8200 <key> --target-vmid 200 --target-disk <key>`");
    expect(text).not.toMatch(/qm destroy|was not destroyed|still in/);
    expect(asideSummary(evidence)).toBe(
      'VM 8200 ("docker-aside") keeps scsi0, and maybe scsi1, of the old VM 200; the report says where to look',
    );
  },
);

test("a run that died at the first move says that its disk may be in either VM", () => {
  const evidence = evidenceFromJournal([STARTED, REPLACING, ended("aborted")]);
  const text = asideLines(evidence).join("\n");
  expect(text).toContain("- none that this run saw there\n- scsi0: in VM 200 or already in VM 8200\n");
  expect(text).not.toContain("qm destroy");
  expect(asideSummary(evidence)).toBe(
    'VM 8200 ("docker-aside") may keep scsi0, scsi1 of the old VM 200; the report says where to look',
  );
});

test("a disk that an earlier replacement does not have any more keeps its VM from being destroyed", () => {
  const evidence = evidenceFromJournal([STARTED, REPLACING, KEPT, REPLACED, ended("failed")]);
  const text = asideLines(evidence).join("\n");
  expect(text).toContain("- scsi1: not in VM 8200 when this run looked, and VM 200 was gone\n");
  expect(text).toContain("`qm disk rescan --vmid 8200`");
  expect(text).not.toContain("qm destroy");
});

test("with every disk aside and the destroy not seen, the way back does not rely on the old VM", () => {
  const evidence = evidenceFromJournal([
    STARTED,
    REPLACING,
    KEPT,
    { ...KEPT, disk: "scsi1", volume: "b" },
    ended("aborted"),
  ]);
  const text = asideLines(evidence).join("\n");
  expect(text).toContain("Every disk is in VM 8200. Whether VM 200 still stands, without disks, `qm config 200` says.");
  expect(text).toContain(
    "```sh\n" +
      "[ -e /etc/pve/qemu-server/200.conf ] || grep -vE '^(scsi0|scsi1):|cloudinit' vm-200.conf >/etc/pve/qemu-server/200.conf # the file of run r\n" +
      "qm disk move 8200 scsi0 --target-vmid 200 --target-disk scsi0 &&\n" +
      "qm disk move 8200 scsi1 --target-vmid 200 --target-disk scsi1 &&\n" +
      "qm set 8200 --protection 0 && qm destroy 8200\n```",
  );
});
