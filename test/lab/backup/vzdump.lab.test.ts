/**
 * Backups of real QEMU machines (without an operating system), and restores of them. Proves: one moment for all disks, what
 * is written meanwhile stays out, freeze and thaw around that moment, power states, failures without leftovers. Does not
 * prove that a guest's file systems are whole: that takes a guest.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { type DisposableMachineRunner } from "../../../lab/qemu";
import { parseVmConfig } from "../../../pve/vm-config";
import { type EngineFixture, MIB } from "./engine-fixture";
import { CONFIG, expectNothingLeft, makeGuest, ObservedMachines } from "./vzdump-guest";

let fixture: EngineFixture;
let runner: DisposableMachineRunner;
let machines: ObservedMachines;

beforeEach(async () => {
  machines = new ObservedMachines();
  ({ fixture, runner } = await makeGuest(machines));
});

afterEach(async () => {
  await runner[Symbol.asyncDispose]();
  fixture.remove();
});

/** Writes through the machine's block layer, as its guest would. */
async function guestWrites(drive: string, command: string): Promise<void> {
  const qmp = runner.qmp(200);
  if (qmp === undefined) throw new Error("VM 200 does not run");
  await qmp.execute("human-monitor-command", { "command-line": `qemu-io ${drive} "${command}"` });
}

async function start(): Promise<void> {
  await runner.start(200, parseVmConfig(CONFIG), fixture.context());
}

async function jobs(): Promise<unknown[]> {
  return (await runner.qmp(200)?.execute<unknown[]>("query-jobs")) ?? [];
}

describe("a running guest in mode snapshot", () => {
  test("is backed up as it was at one moment, while it goes on writing, and comes back byte for byte", async () => {
    await start();
    const before = [0, 1].map((index) => fixture.volumes.read(`local-lvm:vm-200-disk-${index}`));
    let writing: Promise<void> = Promise.resolve();
    const context = fixture.context(undefined, (line) => {
      if (!line.includes("started backup task")) return;
      writing = guestWrites("drive-scsi0", "write -P 0x5a 4M 8M").then(() =>
        guestWrites("drive-scsi1", "write -P 0x5a 0 1M"),
      );
    });
    await fixture.backup(
      { bandwidthLimitKiB: 8192, notesTemplate: "{{guestname}} on {{node}}", protected: true, zstdThreads: 2 },
      context,
    );
    await writing;

    expect(machines.calls).toEqual([
      "guest-ping",
      "guest-fsfreeze-freeze",
      "transaction",
      "guest-fsfreeze-thaw",
      "cont",
    ]);
    const archive = fixture.archive();
    expect(readFileSync(`${archive}.notes`, "utf8")).toBe("docker on pve");
    expect(existsSync(`${archive}.protected`)).toBe(true);
    expect(readFileSync(archive.replace(".vma.zst", ".log"), "utf8")).toMatch(
      /^\S+ \S+ INFO: Starting Backup of VM 200 \(qemu\)/,
    );
    expect(readdirSync(fixture.tmpDir)).toEqual([]);
    expect(fixture.locks.size).toBe(0);
    expect(await jobs()).toEqual([]);
    expect(runner.status(200).qmpStatus).toBe("running");

    const config = await fixture.restore({ archivePath: archive, unique: true }, fixture.context());
    expect(config["scsi0"]).toBe("local-lvm:vm-9200-disk-0,size=24M");
    expect(config["scsi1"]).toBe("local-lvm:vm-9200-disk-1,size=8M");
    expect(config).not.toHaveProperty("scsi2");
    expect(fixture.volumes.read("local-lvm:vm-9200-disk-0").equals(before[0] ?? Buffer.alloc(0))).toBe(true);
    expect(fixture.volumes.read("local-lvm:vm-9200-disk-1").equals(before[1] ?? Buffer.alloc(0))).toBe(true);
    await runner.stop(200);
    expect(
      fixture.volumes
        .read("local-lvm:vm-200-disk-0")
        .subarray(4 * MIB, 12 * MIB)
        .every((byte) => byte === 0x5a),
    ).toBe(true);
    await runner.start(9200, config, fixture.context());
    expect(runner.status(9200).status).toBe("running");
  }, 60_000);

  test("is logged as PVE logs it", async () => {
    await start();
    machines.agentAnswers = false;
    const context = fixture.context();
    await fixture.backup({}, context);
    const archive = basename(fixture.archive());
    const lines = context.lines.map((line) =>
      line.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/, "TIME").replace(/'[0-9a-f]{8}-[0-9a-f-]{27}'/, "'UUID'"),
    );
    expect(lines.slice(0, 13)).toEqual([
      "INFO: starting new backup job: vzdump 200 --storage nas",
      "INFO: Starting Backup of VM 200 (qemu)",
      "INFO: Backup started at TIME",
      "INFO: status = running",
      "INFO: VM Name: docker",
      "INFO: include disk 'scsi0' 'local-lvm:vm-200-disk-0' 24M",
      "INFO: include disk 'scsi1' 'local-lvm:vm-200-disk-1' 8M",
      "INFO: exclude disk 'scsi2' 'local-lvm:vm-200-disk-2' (backup=no)",
      "INFO: backup mode: snapshot",
      "INFO: ionice priority: 7",
      `INFO: creating vzdump archive '/mnt/pve/nas/dump/${archive}'`,
      "INFO: skipping guest-agent 'fs-freeze', agent configured but not running?",
      "INFO: started backup task 'UUID'",
    ]);
    const text = lines.join("\n");
    expect(text).toMatch(/INFO: 100% \(32\.0 MiB of 32\.0 MiB\) in \d+s, read: \S+ \S+, write: \S+ \S+\n/);
    expect(text).toMatch(
      /INFO: backup is sparse: 23\.00 MiB \(71%\) total zero data\nINFO: transferred 32\.00 MiB in /,
    );
    expect(text).toMatch(
      /INFO: archive file size: \d+MB\nINFO: Finished Backup of VM 200 \(00:00:\d\d\)\nINFO: Backup finished at TIME\n/,
    );
    expect(lines.at(-1)).toBe("INFO: Backup job finished successfully");
  }, 60_000);

  test("is thawed also when QEMU refuses, and nothing is left", async () => {
    await start();
    machines.failOn = "transaction";
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(machines.calls.slice(0, 4)).toEqual([
      "guest-ping",
      "guest-fsfreeze-freeze",
      "transaction",
      "guest-fsfreeze-thaw",
    ]);
    expect(context.lines).toContain(
      "ERROR: Backup of VM 200 failed - VM 200 qmp command 'transaction' failed - broken on purpose",
    );
    expect(context.lines.at(-1)).toBe("INFO: Backup job finished with errors");
    expectNothingLeft(fixture);
  }, 60_000);

  test("when the task is stopped: the jobs end, the guest runs on, nothing is left", async () => {
    await start();
    const abort = new AbortController();
    const context = fixture.context(abort.signal, (line) => {
      if (line.includes("resuming VM again")) abort.abort();
    });
    await expect(fixture.backup({ bandwidthLimitKiB: 512 }, context)).rejects.toThrow("interrupted by signal");
    expect(context.lines).toContain("ERROR: Backup of VM 200 failed - interrupted by signal");
    expect(await jobs()).toEqual([]);
    expect(runner.status(200).qmpStatus).toBe("running");
    expectNothingLeft(fixture);
  }, 60_000);

  test("when the machine dies: the backup fails and nothing is left", async () => {
    await start();
    const context = fixture.context(undefined, (line) => {
      if (line.includes("resuming VM again")) void runner.stop(200);
    });
    await expect(fixture.backup({ bandwidthLimitKiB: 512 }, context)).rejects.toThrow("job errors");
    expectNothingLeft(fixture);
  }, 60_000);

  test("on a full storage: the backup fails and nothing is left", async () => {
    await start();
    const context = fixture.context();
    await expect(fixture.backup({ availableBytes: MIB }, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain(
      "ERROR: Backup of VM 200 failed - zstd --rsyncable --threads=1 failed - wrong exit status 1: No space left on device",
    );
    expectNothingLeft(fixture);
  }, 60_000);
});

describe("a running guest in other modes", () => {
  test("stop: is shut down, copied from a paused machine, and runs again before the copy is done", async () => {
    await start();
    const pid = runner.status(200).pid;
    machines.override = { shutdown: (vmId) => runner.stop(vmId) };
    const context = fixture.context();
    await fixture.backup({ mode: "stop" }, context);
    expect(machines.calls).toEqual(["transaction", "cont"]);
    expect(context.lines.join("\n")).toMatch(
      /INFO: stopping virtual guest\n(?:.*\n)*INFO: starting kvm to execute backup task\n(?:.*\n)*INFO: resuming VM again after \d+ seconds\n/,
    );
    expect(runner.status(200)).toMatchObject({ status: "running", qmpStatus: "running" });
    expect(runner.status(200).pid).not.toBe(pid);
    fixture.archive();
  }, 60_000);

  test("stop: a guest that does not shut down runs on, and the backup fails", async () => {
    await start();
    const context = fixture.context();
    await expect(fixture.backup({ mode: "stop", stopWaitMinutes: 1 / 60 }, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain("ERROR: Backup of VM 200 failed - VM quit/powerdown failed - got timeout");
    expect(runner.status(200).qmpStatus).toBe("running");
    expectNothingLeft(fixture);
  }, 60_000);

  test("suspend: is paused until the copy starts", async () => {
    await start();
    const context = fixture.context();
    await fixture.backup({ mode: "suspend" }, context);
    expect(context.lines).toContain("INFO: suspending guest");
    expect(runner.status(200).qmpStatus).toBe("running");
  }, 60_000);
});
