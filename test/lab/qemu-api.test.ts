/** A guest's life by API calls, with the bodies that the real provider sends; machines are in memory. */
import { existsSync } from "node:fs";
import { type GuestAgent } from "../../lab/types";
import { CREATE, GIB, QEMU, withLab } from "./qemu-api-lab";

describe("running a guest", () => {
  test("starts, says so and stops", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      expect((await api.task("POST", `${QEMU}/200/status/start`, { timeout: 1800 })).exitStatus).toBe("OK");
      expect(await api.ok("GET", `${QEMU}/200/status/current`)).toMatchObject({
        status: "running",
        vmid: 200,
        agent: 1,
        pid: 4242,
        cpus: 2,
        maxmem: 1536 * 1024 * 1024,
        maxdisk: GIB,
      });
      expect((await api.task("POST", `${QEMU}/200/status/start`)).exitStatus).toBe("VM 200 already running");
      expect((await api.call("DELETE", `${QEMU}/200`)).reason).toBe("VM 200 is running - destroy failed");
      expect((await api.task("POST", `${QEMU}/200/status/shutdown`, { forceStop: 1 })).exitStatus).toBe("OK");
      expect((await api.task("POST", `${QEMU}/200/status/stop`)).exitStatus).toBe("OK");
    }));

  test("resizes the disk of a running guest through QEMU", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      await api.task("POST", `${QEMU}/200/status/start`);
      await api.task("PUT", `${QEMU}/200/resize`, { disk: "scsi0", size: "+1G" });
      expect(api.machines.qmpCommands).toEqual([
        { vmId: 200, command: "block_resize", args: { device: "drive-scsi0", size: 2 * GIB } },
      ]);
    }));

  test("asks the agent only where there is one", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, { ...CREATE, agent: 0 });
      const ping = async () => (await api.call("POST", `${QEMU}/200/agent/ping`)).reason;
      expect(await ping()).toBe("No QEMU guest agent configured");
      await api.ok("PUT", `${QEMU}/200/config`, { agent: 1 });
      expect(await ping()).toBe("VM 200 is not running");
      await api.task("POST", `${QEMU}/200/status/start`);
      expect(await ping()).toBe("QEMU guest agent is not running");
      api.machines.agents.set(200, echoAgent);
      expect(await api.ok("POST", `${QEMU}/200/agent/ping`)).toEqual({ result: {} });
      expect(await api.ok("GET", `${QEMU}/200/agent/get-osinfo`)).toEqual({ result: { command: "guest-get-osinfo" } });
      expect(await api.ok("POST", `${QEMU}/200/agent/exec`, { command: ["cat", "-n"], "input-data": "x" })).toEqual({
        command: "guest-exec",
        path: "cat",
        arg: ["-n"],
        "capture-output": true,
        "input-data": "eA==",
        pid: 1,
      });
    }));
});

const echoAgent: GuestAgent = {
  execute: async <T>(command: string, args?: Record<string, unknown>): Promise<T> =>
    ({ command, ...args, ...(command === "guest-exec" ? { pid: 1 } : {}) }) as T,
};

describe("destroying a guest", () => {
  test("takes its disks, and with purge its place in the jobs", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      await api.lab.volumes.allocateDisk("local", 200, GIB);
      await api.ok("POST", "/cluster/backup", { id: "one", schedule: "02:00", storage: "nas", vmid: "200" });
      await api.ok("POST", "/cluster/backup", { id: "two", schedule: "02:00", storage: "nas", vmid: "200,201" });
      const disk = api.lab.volumes.pathOf("local-lvm:vm-200-disk-0");
      expect(existsSync(disk)).toBe(true);
      const path = `${QEMU}/200/?destroy-unreferenced-disks=1&purge=1`;
      expect((await api.task("DELETE", path)).exitStatus).toBe("OK");
      expect(existsSync(disk)).toBe(false);
      expect(await api.lab.volumes.images()).toEqual([]);
      expect(await api.ok("GET", "/cluster/backup")).toMatchObject([{ id: "two", vmid: "201" }]);
      expect((await api.call("GET", `${QEMU}/200/status/current`)).reason).toContain("does not exist");
    }));

  test("leaves unreferenced disks and jobs alone unless told", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, CREATE);
      await api.lab.volumes.allocateDisk("local", 200, GIB);
      await api.ok("POST", "/cluster/backup", { id: "one", schedule: "02:00", storage: "nas", vmid: "200" });
      await api.task("DELETE", `${QEMU}/200`);
      expect((await api.lab.volumes.images()).map(({ volid }) => volid)).toEqual(["local:200/vm-200-disk-0.raw"]);
      expect(await api.ok("GET", "/cluster/backup")).toMatchObject([{ id: "one", vmid: "200" }]);
    }));

  test("is refused for a protected guest", () =>
    withLab(async (api) => {
      await api.task("POST", QEMU, { ...CREATE, protection: 1 });
      expect((await api.call("DELETE", `${QEMU}/200`)).reason).toBe("can't remove VM 200 - protection mode enabled");
    }));
});
