/** The life of real QEMU processes whose guest is a boot sector. What needs an operating system is proven by the shared lab. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";

import { bootTest, chooseAccelerator } from "../../../lab/qemu/accelerator";
import { makeIso } from "../../../lab/qemu/cloud-init-drive";
import { BareMachine, GREETING } from "./bare-machine";

const PROGRAM = join(__dirname, "bare-machine.ts");

async function until(what: string, reached: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await reached())) {
    if (Date.now() > deadline) throw new Error(`Unable to see within 60 s: ${what}. Look at the machine's console.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function isAlive(pid: number): boolean {
  return (
    existsSync(`/proc/${pid}`) && !execFileSync("cat", [`/proc/${pid}/stat`], { encoding: "utf8" }).includes(") Z ")
  );
}

describe("a machine", () => {
  it("boots from its disk, writes to its console and ends when its power button is pressed", async () => {
    await using machine = new BareMachine("polite");
    expect(machine.runner.status(200)).toEqual({ status: "stopped", uptime: 0, qmpStatus: "stopped" });
    await machine.start();
    expect(machine.runner.status(200)).toMatchObject({ status: "running", qmpStatus: "running" });
    await until("the greeting", async () => (await machine.runner.consoleTail(200, 5)).includes(GREETING));
    await expect(machine.start()).rejects.toThrow("VM 200 already running");
    await machine.shutdown(30);
    expect(machine.runner.status(200).status).toBe("stopped");
    expect(machine.runner.qmp(200)).toBeUndefined();
    await machine.shutdown(1); // a stopped one is no error
    await machine.runner.stop(200);
  });

  it("stays where it is when started for a backup, with its drives under PVE's names", async () => {
    await using machine = new BareMachine("polite");
    await machine.start(true);
    expect(machine.runner.status(200).qmpStatus).toBe("prelaunch");
    const blocks = await machine.runner.qmp(200)?.execute<{ device: string }[]>("query-block");
    expect(blocks?.map(({ device }) => device)).toEqual([machine.runner.driveId("scsi0")]);
    expect(await machine.runner.consoleTail(200, 5)).toEqual([]);
    await machine.runner.stop(200);
    expect(machine.runner.status(200).status).toBe("stopped");
  });

  it("that doesn't listen fails a shutdown, unless it may be forced", async () => {
    await using machine = new BareMachine("deaf");
    await machine.start();
    await expect(machine.shutdown(1)).rejects.toThrow(/^VM quit\/powerdown failed - got timeout$/);
    expect(machine.runner.status(200).status).toBe("running");
    await machine.shutdown(1, true);
    expect(machine.runner.status(200).status).toBe("stopped");
    expect(machine.log).toContain("VM still running - terminating now with SIGTERM");
  });

  it("whose shutdown task is stopped stays up", async () => {
    await using machine = new BareMachine("deaf");
    await machine.start();
    const shutdown = expect(machine.shutdown(60, true)).rejects.toThrow("received interrupt");
    machine.stopTask();
    await shutdown;
    expect(machine.runner.status(200).status).toBe("running");
  });

  it("without a running agent is asked by ACPI, and says that the agent is silent", async () => {
    await using machine = new BareMachine("polite", { agent: "enabled=1" });
    await machine.start();
    await until("the greeting", async () => (await machine.runner.consoleTail(200, 5)).includes(GREETING));
    await expect(machine.runner.agent(200)?.execute("guest-info", undefined, 200)).rejects.toThrow(
      "VM 200 qga command 'guest-info' failed - got timeout",
    );
    await machine.shutdown(30);
    expect(machine.runner.status(200).status).toBe("stopped");
  });

  it("that is killed from outside is stopped, and starts again", async () => {
    await using machine = new BareMachine("polite");
    await machine.start();
    process.kill(machine.runner.status(200).pid ?? 0, "SIGKILL");
    await until("the end", () => machine.runner.status(200).status === "stopped");
    await machine.start();
    expect(machine.runner.status(200).status).toBe("running");
  });
});

describe("a start that fails", () => {
  it("says what QEMU said", async () => {
    await using machine = new BareMachine("polite");
    rmSync(machine.volumes.pathOf("disks:vm-200-disk-0"));
    await expect(machine.start()).rejects.toThrow("start failed: QEMU exited with code 1");
    expect(machine.log.join("\n")).toMatch(/Could not open '.*vm-200-disk-0'/);
    expect(machine.runner.status(200).status).toBe("stopped");
  });

  it("names a missing bridge before QEMU starts", async () => {
    await using machine = new BareMachine("polite", { net0: "virtio=BC:24:11:00:00:01,bridge=vmbr77" });
    await expect(machine.start()).rejects.toThrow("bridge 'vmbr77' does not exist");
  });
});

it("kills its machines when its own process is killed", async () => {
  const lab = spawn("node", ["--import", "tsx", PROGRAM], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  lab.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await until("a machine", () => text.includes("\n"));
  const { pid, dir } = JSON.parse(text) as { pid: number; dir: string };
  expect(isAlive(pid)).toBe(true);
  lab.kill("SIGKILL");
  await until("the machine's end", () => !isAlive(pid));
  rmSync(dir, { recursive: true });
});

it("plugs cards into bridges, gives isolated bridges no address and leaves no tap behind", () => {
  interface Link {
    ifname: string;
    master?: string;
    addr_info: { local?: string }[];
  }
  const text = execFileSync("unshare", ["--net", "node", "--import", "tsx", PROGRAM, "vmbr0"], { encoding: "utf8" });
  const { links, linksAfter } = JSON.parse(text) as { links: Link[]; linksAfter: Link[] };
  const find = (name: string): Link | undefined => links.find(({ ifname }) => ifname === name);
  expect(find("vmbr0")?.addr_info.map(({ local }) => local)).toContain("192.168.20.1");
  expect(find("vmbr99")?.addr_info).toEqual([]);
  expect(find("tap200i0")).toMatchObject({ master: "vmbr0", addr_info: [] });
  expect(linksAfter.map(({ ifname }) => ifname).sort()).toEqual(["lo", "vmbr0", "vmbr99"]);
});

it("makes an ISO image whose label cloud-init looks for", async () => {
  const image = await makeIso({ "user-data": "#cloud-config\n", "meta-data": "instance-id: x\n" }, "cidata");
  expect(image.toString("latin1", 32_769, 32_774)).toBe("CD001");
  expect(image.toString("latin1", 32_808, 32_814)).toBe("cidata");
  expect(image.includes("instance-id: x")).toBe(true);
});

it("boots the test sector by emulation, and refuses an unknown accelerator", async () => {
  await expect(bootTest("tcg")).resolves.toBeUndefined();
  await expect(chooseAccelerator("warp")).rejects.toThrow(/HOMELAB_ACCEL is "warp"/);
});
