/** Creating and changing guests by API calls, with the bodies that the real provider sends; machines are in memory. */
import { statSync } from "node:fs";
import { config, CREATE, GIB, QEMU, withLab } from "./qemu-api-lab";

describe("creating a guest", () => {
  test("stores what was sent in PVE's forms and fills in the rest", () =>
    withLab(async (api) => {
      const { exitStatus, upid } = await api.task("POST", QEMU, CREATE);
      expect(exitStatus).toBe("OK");
      expect(upid).toMatch(/^UPID:pve:[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:qmcreate:200:root@pam!lab:$/);
      expect(await config(api)).toEqual({
        acpi: 1,
        agent: "enabled=1,fstrim_cloned_disks=1,type=virtio",
        balloon: 0,
        boot: "order=scsi0",
        ciuser: "ops",
        cores: 2,
        cpu: "x86-64-v2-AES",
        description: "Docker VM: 100% managed\nby Pulumi",
        digest: expect.stringMatching(/^[0-9a-f]{40}$/) as string,
        ide2: "local-lvm:vm-200-cloudinit,media=cdrom,size=4M",
        ide3: "cdrom,media=cdrom",
        ipconfig0: "gw=192.168.20.1,ip=192.168.20.200/24",
        memory: "1536",
        meta: expect.stringMatching(/^creation-qemu=[\d.]+,ctime=\d+$/) as string,
        name: "docker",
        net0: expect.stringMatching(/^virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0,firewall=0$/) as string,
        onboot: 1,
        protection: 0,
        scsi0: "local-lvm:vm-200-disk-0,aio=io_uring,backup=1,discard=on,size=1G",
        scsihw: "virtio-scsi-single",
        smbios1: expect.stringMatching(/^uuid=[0-9a-f-]{36}$/) as string,
        sshkeys: "ssh-ed25519%20AAAA%20me%40x",
        tags: "a;b",
        vmgenid: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      });
      expect(statSync(api.lab.volumes.pathOf("local-lvm:vm-200-disk-0")).size).toBe(GIB);
    }));

  test("imports an image that was downloaded", () =>
    withLab(async (api) => {
      const file = { content: "import", filename: "image.raw", url: "https://images.example.net/image.raw" };
      expect((await api.task("POST", "/nodes/pve/storage/local/download-url", file)).exitStatus).toBe("OK");
      const scsi0 = "file=local-lvm:0,import-from=local:import/image.raw,size=8589934592";
      expect((await api.task("POST", QEMU, { ...CREATE, scsi0 })).exitStatus).toBe("OK");
      expect((await config(api))["scsi0"]).toBe("local-lvm:vm-200-disk-0,size=1M");
      const resize = { disk: "scsi0", size: 8 * GIB };
      expect((await api.task("PUT", `${QEMU}/200/resize`, resize)).exitStatus).toBe("OK");
      expect((await config(api))["scsi0"]).toBe("local-lvm:vm-200-disk-0,size=8G");
      const shrink = await api.task("PUT", `${QEMU}/200/resize`, { disk: "scsi0", size: "1G" });
      expect(shrink.exitStatus).toBe("shrinking disks is not supported");
    }));

  test("frees everything when a part fails, and names the part", () =>
    withLab(async (api) => {
      const scsi1 = "local-lvm:0,import-from=local:import/missing.qcow2";
      const { exitStatus, log } = await api.task("POST", QEMU, { ...CREATE, scsi1 });
      expect(exitStatus).toBe("unable to create VM 200 - volume 'local:import/missing.qcow2' does not exist");
      expect(log.at(-1)).toBe(`TASK ERROR: ${exitStatus}`);
      expect(await api.lab.volumes.images()).toEqual([]);
      expect((await api.call("GET", `${QEMU}/200/config`)).reason).toBe(
        "Configuration file 'nodes/pve/qemu-server/200.conf' does not exist",
      );
    }));

  test("refuses an id that is taken", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, { vmid: 200 });
      expect((await api.call("POST", QEMU, { vmid: 200 })).reason).toBe(
        "unable to create VM 200 - VM 200 already exists on node 'pve'",
      );
      expect((await api.call("GET", "/cluster/nextid", { vmid: 200 })).body.errors).toEqual({
        vmid: "VM 200 already exists",
      });
      expect(await api.ok("GET", "/cluster/nextid")).toBe("100");
    }));

  test.each([
    [{ scsi0: "/dev/sda" }, 500, "Only root can pass arbitrary filesystem paths."],
    [{ scsi0: "nope:8" }, 500, "storage 'nope' does not exist"],
    [
      { scsi0: "local:8,format=qcow2" },
      501,
      "The lab does not emulate disk format 'qcow2' (scsi0); its disks are raw.",
    ],
    [{ scsi0: "local-lvm:8,mbps_rd=5" }, 501, "The lab does not emulate drive option 'mbps_rd' (scsi0)."],
    [{ scsi0: "local-lvm:8,bogus=1" }, 400, "Parameter verification failed."],
    [{ net0: "bogus,bridge=vmbr0" }, 400, "Parameter verification failed."],
    [{ net0: "virtio=01:00:00:00:00:00,bridge=vmbr0" }, 400, "Parameter verification failed."],
    [{ unique: 1 }, 400, "Parameter verification failed."],
    [{ pool: "none" }, 403, "Permission check failed (pool 'none' does not exist)"],
  ])("refuses %j", (form, status, reason) =>
    withLab(async (api) => {
      const answer = await api.call("POST", QEMU, { vmid: 300, ...form });
      expect([answer.status, answer.reason]).toEqual([status, reason]);
      expect(api.lab.guests.list()).toEqual([]);
    }),
  );
});

describe("changing a guest", () => {
  test("of a stopped guest takes effect at once; missing keys may be deleted", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      const net0 = (await config(api))["net0"];
      await api.ok("PUT", `${QEMU}/200/config`, {
        memory: 2048,
        net0: "model=virtio,bridge=vmbr99",
        delete: "net1,net2,net31,ipconfig0",
      });
      const after = await config(api);
      expect(after["memory"]).toBe("2048");
      expect(after["net0"]).toBe(String(net0).replace("bridge=vmbr0,firewall=0", "bridge=vmbr99"));
      expect(after).not.toHaveProperty("ipconfig0");
    }));

  test("of a running guest waits for its next start where it needs hardware", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      await api.task("POST", `${QEMU}/200/status/start`);
      await api.ok("PUT", `${QEMU}/200/config`, { memory: 2048, name: "renamed", delete: "ipconfig0" });
      expect(await config(api, 200, 1)).toMatchObject({ memory: "1536", name: "renamed", ipconfig0: CREATE.ipconfig0 });
      expect(await config(api)).toMatchObject({ memory: "2048", name: "renamed" });
      expect(await config(api)).not.toHaveProperty("ipconfig0");
      expect(await api.ok("GET", `${QEMU}/200/pending`)).toEqual(
        expect.arrayContaining([
          { key: "memory", value: "1536", pending: "2048" },
          { key: "ipconfig0", value: CREATE.ipconfig0, delete: 1 },
        ]),
      );
      await api.task("POST", `${QEMU}/200/status/stop`);
      await api.task("POST", `${QEMU}/200/status/start`);
      expect(api.machines.running.get(200)).toMatchObject({ memory: "2048" });
      expect(await config(api, 200, 1)).not.toHaveProperty("ipconfig0");
    }));

  test("keeps a disk that leaves its key as unused, frees a cloud-init drive", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      await api.ok("PUT", `${QEMU}/200/config`, { delete: "scsi0,ide2" });
      expect(await config(api)).toMatchObject({ unused0: "local-lvm:vm-200-disk-0" });
      expect((await api.lab.volumes.images()).map(({ volid }) => volid)).toEqual(["local-lvm:vm-200-disk-0"]);
      await api.ok("PUT", `${QEMU}/200/config`, { delete: "unused0" });
      expect(await api.lab.volumes.images()).toEqual([]);
    }));

  test("hides the cloud-init password and keeps only its hash", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      await api.ok("PUT", `${QEMU}/200/config`, { cipassword: "hunter2" });
      expect((await config(api))["cipassword"]).toBe("**********");
      expect(api.lab.guests.read(200).current["cipassword"]).toMatch(/^\$5\$/);
    }));

  test("refuses another configuration's digest, unknown options, and protected disks", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, { ...CREATE, protection: 1 });
      const change = (form: Record<string, string>) => api.call("PUT", `${QEMU}/200/config`, form);
      expect((await change({ digest: "0".repeat(40), name: "x" })).reason).toBe(
        "detected modified configuration - file changed by other user? Try again.",
      );
      expect((await change({ delete: "bogus" })).body.errors).toEqual({ delete: "unknown option 'bogus'" });
      expect((await change({ delete: "scsi0" })).reason).toBe("can't remove drive 'scsi0' - protection mode enabled");
    }));

  test("refuses to touch a locked guest", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      await api.lab.guests.lock(200);
      expect((await api.call("PUT", `${QEMU}/200/config`, { name: "x" })).reason).toBe("VM is locked (backup)");
      expect((await api.task("POST", `${QEMU}/200/status/start`)).exitStatus).toBe("VM is locked (backup)");
      expect((await api.call("DELETE", `${QEMU}/200`)).reason).toBe("VM is locked (backup)");
      expect(await api.ok("GET", `${QEMU}/200/status/current`)).toMatchObject({ lock: "backup" });
    }));
});
