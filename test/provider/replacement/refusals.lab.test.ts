/** What keeps a broken VM from being replaced: each refused before anything is changed, with what was found and what to do. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { appendEvent } from "../../../provider/journal";
import { PRIVILEGES } from "../../../pve/access/privileges";
import { ASIDE_VM, BrokenVm, KEPT_DISKS } from "../support/broken-vm";

jest.setTimeout(120_000);

let broken: BrokenVm;
let writesBefore: number;
beforeEach(async () => {
  broken = await BrokenVm.make();
  writesBefore = broken.writes().length;
});
afterEach(async () => broken[Symbol.asyncDispose]());

const writes = (): string[] => broken.writes().slice(writesBefore);

describe("refused before anything is changed, with what was found and what to do", () => {
  const refusal = async (consent = broken.consent()): Promise<string> => {
    const before = [await broken.disks(), await broken.config(200)];
    const count = broken.writes().length;
    const error = await broken.restore(consent).then(
      () => "it was not refused",
      (caught: unknown) => (caught instanceof Error ? caught.message : String(caught)),
    );
    expect(broken.writes().slice(count)).toEqual([]);
    expect([await broken.disks(), await broken.config(200)]).toEqual(before);
    return error;
  };
  const set = async (change: Record<string, string | number>): Promise<unknown> =>
    broken.api.ok("PUT", "/nodes/pve/qemu/200/config", change);
  const edit = (vmId: number, change: (text: string) => string): void => {
    const file = join(broken.api.lab.spec.dir, `nodes/pve/qemu-server/${vmId}.conf`);
    writeFileSync(file, change(readFileSync(file, "utf8")));
  };

  test("without a consent; what to write is named", async () => {
    const error = await broken.restore(undefined).catch((caught: unknown) => String(caught));
    expect(error).toMatch(
      /VM 200 exists \("docker" on pve, stopped, with .*\). Nothing was changed\. .*stop it \(qm stop 200\); let it be replaced, with its disks kept under a free VMID: homelab:restore\.replace \{until: /,
    );
    expect(writes()).toEqual([]);
  });

  test("after the consent's end", async () => {
    expect(await refusal(broken.consent({ until: "2026-01-01T00:00:00Z" }))).toMatch(
      /^Unable to replace VM 200 on pve: the consent to it ended at 2026-01-01T00:00:00Z \(set homelab:restore\.replace\.until to a time that is soon\)\. Then run the restore again\. The report is /,
    );
  });

  test("with a consent for longer than 7 days", async () => {
    const until = new Date(Date.now() + 8 * 86_400_000).toISOString();
    expect(await refusal(broken.consent({ until }))).toContain(
      `replace.until ${until} is more than 7 days ahead. Name a time that is soon: a consent is for one emergency`,
    );
  });

  test("a VM that runs", async () => {
    await broken.api.task("POST", "/nodes/pve/qemu/200/status/start");
    writesBefore = broken.writes().length;
    expect(await refusal()).toContain(
      "Unable to replace VM 200 on pve: it runs (stop it: qm stop 200). Then run the restore again.",
    );
  });

  test("several things at once: a lock, a snapshot, another VM's disk", async () => {
    edit(
      200,
      (text) =>
        `${text}lock: suspended\nscsi9: local-lvm:vm-201-disk-0,size=1M\nscsi10: /dev/disk/by-id/ata-x:0\n\n[before]\nscsi0: x\n`,
    );
    expect(await refusal()).toContain(
      "it is locked (suspended; wait for the task that holds it, or run qm unlock 200 if there is none); " +
        "its disks are held by the snapshots before (if nobody needs them: qm delsnapshot 200 before); " +
        "its disk scsi9 is local-lvm:vm-201-disk-0, which can't be kept aside (take it out: qm set 200 --delete scsi9); " +
        "its disk scsi10 is /dev/disk/by-id/ata-x:0, which can't be kept aside (take it out: qm set 200 --delete scsi10). Then run the restore again.",
    );
  });

  test("changes that wait for the VM's next start, which could be disks", async () => {
    edit(200, (text) => `${text}\n[PENDING]\ndelete: scsi1\n`);
    expect(await refusal()).toContain(
      "changes of scsi1 wait for its next start (qm pending 200 shows them; take them back)",
    );
  });

  test("a VM that the HA manager or a replication job works on", async () => {
    broken.answers.set("/nodes/pve/qemu/200/status/current", { status: "stopped", ha: { managed: 1 } });
    broken.answers.set("/cluster/replication", [
      { id: "200-0", guest: 200 },
      { id: "201-0", guest: 201 },
    ]);
    expect(await refusal()).toContain(
      "the HA manager keeps it running (ha-manager remove vm:200); replication job 200-0 copies its disks (pvesr delete 200-0). Then run",
    );
  });

  test("a disk on a storage that can't rename it", async () => {
    const storages = [
      { storage: "local-lvm", type: "iscsi", content: "images", active: 1, enabled: 1 },
      { storage: "local", type: "dir", content: "images", active: 1, enabled: 1 },
    ];
    broken.answers.set("/nodes/pve/storage", storages);
    expect(await refusal()).toContain(
      "its disk scsi0 is on a storage of type iscsi, which can't give it to another VM",
    );
  });

  test("a template", async () => {
    edit(200, (text) => `${text}template: 1\n`);
    expect(await refusal()).toContain("it is a template");
  });

  test.each([
    ["name", { name: "other" }, 'it is "other" with UUID 11111111-2222-3333-4444-555555555555'],
    [
      "UUID",
      { smbios1: "uuid=99999999-2222-3333-4444-555555555555" },
      "with UUID 99999999-2222-3333-4444-555555555555, and the archive is of",
    ],
  ])("a VM of another %s than the archive's", async (_, change: Record<string, string>, text) => {
    await set(change);
    expect(await refusal()).toContain(text);
  });

  test("the half of another restore", async () => {
    await set({ description: "homelab-run=20261120T010000Z-emergency-abcdef\nBeing restored from x." });
    expect(await refusal()).toContain("it is the half of what run 20261120T010000Z-emergency-abcdef restored");
  });

  test("a VM without disks, of which there is nothing to keep", async () => {
    edit(200, (text) => text.replace(/^(scsi\d+|unused\d+): .*\n/gm, ""));
    expect(await refusal()).toContain("it has no disk, so there is nothing to keep");
  });

  test("a VMID for the disks that a guest has, or disks of it", async () => {
    await broken.api.task("POST", "/nodes/pve/qemu", { vmid: ASIDE_VM, name: "mine", scsi0: "local-lvm:0.001" });
    writesBefore = broken.writes().length;
    expect(await refusal()).toContain(
      'VMID 8200, which its disks are to be kept under, is taken by VM "mine" on pve (set homelab:restore.replace.asideVmId to a free one)',
    );
    broken.api.lab.guests.remove(ASIDE_VM);
    expect(await refusal()).toContain(
      "there are disks of VMID 8200, which its disks are to be kept under: local-lvm:vm-8200-disk-0",
    );
  });

  test("no room beside the old disks", async () => {
    broken.api.lab.storages.totalBytes = () => 1024;
    expect(await refusal()).toMatch(
      /storage local-lvm has 0\.0 GiB left and the archive's disks need .* The disks of VM 200 that stands are kept beside them and free no room\./,
    );
  });

  test("a second replacement while the first one's disks are still kept", async () => {
    await broken.restore(broken.consent());
    await broken.api.ok("PUT", "/nodes/pve/qemu/200/config", { description: "Docker host" });
    for (const runId of readdirSync(broken.evidenceDir)) {
      await appendEvent(
        { runId, runDir: join(broken.evidenceDir, runId) },
        { type: "run-ended", verdict: "passed", reasons: [] },
      );
    }
    const error = await refusal();
    expect(error).toMatch(
      /VM 8200 keeps all disks that VM 200 had when run \S+ replaced it, and VM 200 has disks again: scsi0 \(with homelab:restore\.replace\.asideVmId set to a free VMID, all that VM 200 has now is kept there\)/,
    );
    expect(error).not.toContain("qm destroy");
  });

  test("a VMID that keeps the disks of another VM 200", async () => {
    await broken.restoreUntil({ at: 2, isSent: true });
    await broken.clearDead();
    edit(ASIDE_VM, (text) => text.replace(/200 docker 1{8}/, "200 docker 99999999"));
    expect(await refusal()).toMatch(
      /VM 8200 keeps the disks of another VM 200, which run \S+ replaced \(set homelab:restore\.replace\.asideVmId to a free one, or, if nobody needs them any more: qm set 8200 --protection 0 && qm destroy 8200\)/,
    );
  });

  test("a disk that Proxmox was stopped over is in neither VM, and nothing suggests to destroy it", async () => {
    await broken.restoreUntil({ at: 2, isSent: true });
    await broken.clearDead();
    let moved = "";
    edit(ASIDE_VM, (text) => text.replace(/^scsi0: .*\n/m, (line) => ((moved = line), "")));
    expect(moved).toContain("local-lvm:vm-8200-disk-0");
    const error = await refusal();
    expect(error).toContain(
      "scsi0 is in neither VM 200 nor VM 8200, as when Proxmox is stopped while it renames a disk (find it: qm disk rescan --vmid 8200; " +
        "qm disk rescan --vmid 200; name the volume that is then unused scsi0 again, in /etc/pve/qemu-server/<vmid>.conf, with the options " +
        "that the description of VM 8200 has). Then run the restore again.",
    );
    expect(error).not.toContain("qm destroy");
    edit(ASIDE_VM, (text) => text.replace(/^scsihw|^smbios1/m, (key) => `${moved}${key}`));
    expect((await broken.restore(broken.consent())).evidence.aside).toMatchObject({ left: [], replaced: true });
    expect(await broken.disks()).toMatchObject(KEPT_DISKS);
  });

  test("a disk that Proxmox was stopped over is still named by the old VM: what to type is said, and works", async () => {
    await broken.restoreUntil({ at: 2, isSent: true });
    await broken.clearDead();
    let moved = "";
    edit(ASIDE_VM, (text) => text.replace(/^scsi0: .*\n/m, (line) => ((moved = line), "")));
    edit(200, (text) => `${text}${moved.replace("vm-8200-disk-0", "vm-200-disk-0")}`);
    const error = await refusal();
    expect(error).toContain(
      "its disk scsi0 (local-lvm:vm-200-disk-0) is not there, and local-lvm:vm-8200-disk-0, which VM 8200 does not name, is: Proxmox was " +
        "stopped when it had renamed it (on pve: ",
    );
    const commands = /\(on pve: (.*)\)\. Then run/.exec(error)?.[1] ?? "";
    const folder = join(broken.api.lab.spec.dir, "nodes/pve/qemu-server");
    execFileSync("sh", ["-c", commands.replaceAll("/etc/pve/qemu-server", folder)]);
    expect(await broken.config(ASIDE_VM)).toMatchObject({ scsi0: moved.trim().replace("scsi0: ", "") });
    expect((await broken.restore(broken.consent())).evidence.aside).toMatchObject({ left: [], replaced: true });
    expect(await broken.disks()).toMatchObject(KEPT_DISKS);
  });

  describe("a disk that is not there, beside one that nothing shows to be it: no command is told that would name it", () => {
    /** What a restore says, wherever it stops. */
    const told = async (): Promise<string> => {
      const ended = await broken.restore(broken.consent()).catch((caught: unknown) => String(caught));
      return typeof ended === "string" ? ended : String(ended.vm["reason"]);
    };
    /** VM 200 names a disk that is not there; VM 8200 does not name the volume that it was given. */
    const lose = async (volume: string): Promise<void> => {
      await broken.restoreUntil({ at: 2, isSent: true });
      await broken.clearDead();
      edit(ASIDE_VM, (text) => text.replace(/^scsi0: .*\n/m, ""));
      edit(200, (text) => `${text}scsi0: ${volume},size=1M\n`);
    };

    test("the same storage and everything seen: it is told", async () => {
      await lose("local-lvm:vm-200-disk-0");
      expect(await told()).toContain("sed -n");
    });

    test("another storage, which a rename never changes", async () => {
      await lose("local:200/vm-200-disk-7.raw");
      const error = await told();
      expect(error).toContain("volume 'local:200/vm-200-disk-7.raw' does not exist");
      expect(error).not.toContain("sed -n");
    });

    test("disks of the VM that keeps them may be there unseen", async () => {
      await lose("local-lvm:vm-200-disk-0");
      const all = Object.fromEntries(PRIVILEGES.map((privilege) => [privilege, 1]));
      const paths = ["/", "/pool/homelab-prod", "/storage", "/storage/local", "/storage/local-lvm", "/vms", "/vms/200"];
      const seen = { ...Object.fromEntries(paths.map((path) => [path, all])), "/vms/8200": { "VM.Audit": 1 } };
      broken.answers.set("/access/permissions", seen);
      const error = await told();
      expect(error).toContain("the token lacks VM.Config.Disk on /vms/8200. Nothing was changed.");
      expect(error).not.toContain("sed -n");
    });
  });

  test("disks that are in both VMs, or came since", async () => {
    await broken.restoreUntil({ at: 2, isSent: true });
    await broken.clearDead();
    edit(200, (text) => `${text}scsi0: local-lvm:vm-200-disk-7,size=1M\nscsi5: local-lvm:vm-200-disk-8,size=1M\n`);
    const error = await refusal();
    expect(error).toContain(
      "scsi0 is in VM 200 and in VM 8200 (look: qm config 200; qm config 8200; with homelab:restore.replace.asideVmId set to a free VMID, " +
        "all that VM 200 has now is kept there); scsi5 came to VM 200 since run ",
    );
    expect(error).not.toContain("qm destroy");
  });
});
