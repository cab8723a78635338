/** A disk handed from one guest to another by the API: a rename that keeps every byte, and each refusal in PVE's words. */
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ApiLab } from "./api-lab";
import { config, QEMU, withLab } from "./qemu-api-lab";

const SOURCE = {
  ...{ vmid: 200, name: "docker", memory: 512, protection: 1, boot: "order=scsi0;net0" },
  ...{ net0: "virtio,bridge=vmbr0", ide2: "local-lvm:cloudinit", ide3: "none,media=cdrom" },
  ...{ scsi0: "local-lvm:0.001,discard=on", scsi1: "local:0.001" },
};

async function withGuests(run: (api: ApiLab) => Promise<void>): Promise<void> {
  await withLab(async (api) => {
    await api.task("POST", QEMU, SOURCE);
    await api.task("POST", QEMU, { vmid: 8200, name: "docker-aside", protection: 1 });
    await run(api);
  });
}

const MOVE = `${QEMU}/200/move_disk`;

test("the volume gets the other guest's name, with every byte and option, and leaves the boot order", () =>
  withGuests(async (api) => {
    const bytes = Buffer.from("the only copy");
    writeFileSync(api.lab.volumes.pathOf("local-lvm:vm-200-disk-0"), bytes);
    const { upid, exitStatus, log } = await api.task("POST", MOVE, { disk: "scsi0", "target-vmid": 8200 });
    expect(exitStatus).toBe("OK");
    expect(upid).toContain(":qmmove:200-scsi0>8200-scsi0:");
    expect(log[0]).toBe("reassign disk 'scsi0' from VM '200' as 'scsi0' to VM '8200'");
    expect(await config(api, 8200)).toMatchObject({
      scsi0: expect.stringMatching(/^local-lvm:vm-8200-disk-0,discard=on,/) as string,
    });
    expect(await config(api)).toMatchObject({
      boot: "order=net0",
      ide2: expect.stringContaining("vm-200-cloudinit") as string,
    });
    expect(await config(api)).not.toHaveProperty("scsi0");
    expect(readFileSync(api.lab.volumes.pathOf("local-lvm:vm-8200-disk-0"))).toEqual(bytes);

    const other = await api.task("POST", MOVE, { disk: "scsi1", "target-vmid": 8200, "target-disk": "unused0" });
    expect(other.exitStatus).toBe("OK");
    expect(await config(api, 8200)).toMatchObject({ unused0: "local:8200/vm-8200-disk-0.raw" });
    expect((await api.lab.volumes.images()).map(({ volid }) => volid).sort()).toEqual([
      ...["local-lvm:vm-200-cloudinit", "local-lvm:vm-8200-disk-0", "local:8200/vm-8200-disk-0.raw"],
    ]);
  }));

test("what PVE refuses is refused in its words, and nothing is changed", () =>
  withGuests(async (api) => {
    const before = [await config(api), await config(api, 8200)];
    const refusal = async (form: Record<string, string | number>): Promise<string> => {
      const { status, reason, body } = await api.call("POST", MOVE, { disk: "scsi0", "target-vmid": 8200, ...form });
      expect(status).not.toBe(200);
      return body.errors === undefined ? reason : JSON.stringify(body.errors);
    };
    expect(await refusal({ disk: "scsi7" })).toBe("Disk 'scsi7' for VM '200' does not exist");
    expect(await refusal({ disk: "ide3" })).toBe("disk 'ide3' has no associated volume");
    expect(await refusal({ "target-vmid": 8201 })).toBe("could not find target VM 8201");
    expect(await refusal({ "target-vmid": 200 })).toContain("must be different than source VMID");
    expect(await refusal({ digest: "0".repeat(40) })).toContain("VM 200: detected modified configuration");
    expect(await refusal({ "target-digest": "0".repeat(40) })).toContain("VM 8200: detected modified configuration");
    expect(await refusal({ storage: "local" })).toContain("either set 'storage' or 'target-vmid', but not both");
    expect((await api.call("POST", MOVE, { disk: "scsi0", storage: "local" })).status).toBe(501);
    expect((await api.call("POST", MOVE, { disk: "scsi0" })).body.errors).toHaveProperty("storage");
    expect(await refusal({ disk: "net0" })).toContain("does not have a value in the enumeration");
    await api.task("POST", `${QEMU}/200/status/start`);
    expect(await refusal({})).toBe("Cannot move disk to another VM while the source VM is running - detach first");
    await api.task("POST", `${QEMU}/200/status/stop`);
    expect([await config(api), await config(api, 8200)]).toEqual(before);
  }));

test("a key that is taken, a lock and a snapshot keep the disk where it is", () =>
  withGuests(async (api) => {
    const move = async (): Promise<string> =>
      (await api.call("POST", MOVE, { disk: "scsi0", "target-vmid": 8200 })).reason;
    const file = join(api.lab.spec.dir, "nodes/pve/qemu-server/200.conf");
    const text = readFileSync(file, "utf8");
    appendFileSync(file, "\n[before]\nscsi0: local-lvm:vm-200-disk-0,size=1M\nsnaptime: 1763625600\n");
    expect(await move()).toBe("Can't move disk used by a snapshot to another VM");
    expect(await api.ok("GET", `${QEMU}/200/snapshot`)).toMatchObject([
      { name: "before", snaptime: 1763625600 },
      { name: "current" },
    ]);
    writeFileSync(file, `lock: backup\n${text}`);
    expect(await move()).toBe("VM is locked (backup)");
    writeFileSync(file, text);
    await api.ok("PUT", `${QEMU}/8200/config`, { scsi0: "local-lvm:0.001" });
    expect(await move()).toBe("Target disk key 'scsi0' is already in use for VM '8200'");
  }));
