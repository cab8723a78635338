/**
 * Backups of real QEMU machines (without an operating system), and restores of them. Proves: one moment for all disks, what
 * is written meanwhile stays out, freeze and thaw around that moment, power states, failures without leftovers. Does not
 * prove that a guest's file systems are whole: that takes a guest.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createMachineRunner, type DisposableMachineRunner } from "../../../lab/qemu";
import { type GuestAgent, type MachineRunner, type Qmp } from "../../../lab/types";
import { parseVmConfig } from "../../../pve/vm-config";
import { writeGeneratedArchive } from "../../support/vma-generator";
import { EngineFixture, MIB, noise } from "./engine-fixture";

const CONFIG = `agent: enabled=1
boot: order=scsi0
memory: 32
name: docker
scsi0: local-lvm:vm-200-disk-0,size=24M
scsi1: local-lvm:vm-200-disk-1,size=8M
scsi2: local-lvm:vm-200-disk-2,backup=0,size=1M
scsihw: virtio-scsi-pci
smbios1: uuid=11111111-2222-3333-4444-555555555555
`;
const SECOND_DISK = noise(MIB, 2);

let fixture: EngineFixture;
let runner: DisposableMachineRunner;
/** What the engine asked the guest and QEMU for, in order. */
let calls: string[];
/** Undefined: no agent answers. */
let agentAnswers: boolean;
let override: Partial<MachineRunner>;
let failOn: string | undefined;

/** The real runner, with an agent that no guest has to have, and a record of the calls. */
function observed(inner: DisposableMachineRunner): MachineRunner {
  const agent: GuestAgent = {
    execute: async <T>(command: string) => {
      calls.push(command);
      if (!agentAnswers) throw new Error("got timeout");
      return {} as T;
    },
  };
  const watch = (qmp: Qmp): Qmp => ({
    execute: async (command, args) => {
      if (command === "transaction" || command === "cont" || command === "job-cancel") calls.push(command);
      if (command === failOn) throw new Error(`VM 200 qmp command '${command}' failed - broken on purpose`);
      return qmp.execute(command, args);
    },
    waitForEvent: (name, filter, timeoutMs) => qmp.waitForEvent(name, filter, timeoutMs),
  });
  return {
    start: (...args) => (override.start ?? inner.start.bind(inner))(...args),
    stop: (vmId) => inner.stop(vmId),
    shutdown: (...args) => (override.shutdown ?? inner.shutdown.bind(inner))(...args),
    status: (vmId) => inner.status(vmId),
    qmp: (vmId) => {
      const qmp = inner.qmp(vmId);
      return qmp === undefined ? undefined : watch(qmp);
    },
    agent: (vmId) => (inner.qmp(vmId) === undefined ? undefined : agent),
    driveId: (key) => inner.driveId(key),
    consoleTail: (vmId, lines) => inner.consoleTail(vmId, lines),
  };
}

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

beforeEach(async () => {
  calls = [];
  agentAnswers = true;
  override = {};
  failOn = undefined;
  fixture = new EngineFixture((self) => {
    runner = createMachineRunner({ dir: join(self.dir, "lab"), nodeCores: 2, volumes: self.volumes, accel: "tcg" });
    return observed(runner);
  });
  fixture.configs.set(200, CONFIG);
  await fixture.volumes.allocateDisk("local-lvm", 200, 24 * MIB);
  await fixture.volumes.allocateDisk("local-lvm", 200, 8 * MIB);
  await fixture.volumes.allocateDisk("local-lvm", 200, MIB);
  fixture.volumes.write("local-lvm:vm-200-disk-0", 4 * MIB, noise(8 * MIB, 1));
  fixture.volumes.write("local-lvm:vm-200-disk-1", 0, SECOND_DISK);
});

afterEach(async () => {
  await runner[Symbol.asyncDispose]();
  fixture.remove();
});

/** Nothing of a failed backup may be left but its log. */
function expectNothingLeft(): void {
  expect(fixture.dumps().filter((name) => !name.endsWith(".log"))).toEqual([]);
  expect(existsSync(fixture.tmpDir) ? readdirSync(fixture.tmpDir) : []).toEqual([]);
  expect(fixture.locks.size).toBe(0);
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

    expect(calls).toEqual(["guest-ping", "guest-fsfreeze-freeze", "transaction", "guest-fsfreeze-thaw", "cont"]);
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
    agentAnswers = false;
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
    failOn = "transaction";
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(calls.slice(0, 4)).toEqual(["guest-ping", "guest-fsfreeze-freeze", "transaction", "guest-fsfreeze-thaw"]);
    expect(context.lines).toContain(
      "ERROR: Backup of VM 200 failed - VM 200 qmp command 'transaction' failed - broken on purpose",
    );
    expect(context.lines.at(-1)).toBe("INFO: Backup job finished with errors");
    expectNothingLeft();
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
    expectNothingLeft();
  }, 60_000);

  test("when the machine dies: the backup fails and nothing is left", async () => {
    await start();
    const context = fixture.context(undefined, (line) => {
      if (line.includes("resuming VM again")) void runner.stop(200);
    });
    await expect(fixture.backup({ bandwidthLimitKiB: 512 }, context)).rejects.toThrow("job errors");
    expectNothingLeft();
  }, 60_000);

  test("on a full storage: the backup fails and nothing is left", async () => {
    await start();
    const context = fixture.context();
    await expect(fixture.backup({ availableBytes: MIB }, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain(
      "ERROR: Backup of VM 200 failed - zstd --rsyncable --threads=1 failed - wrong exit status 1: No space left on device",
    );
    expectNothingLeft();
  }, 60_000);
});

describe("a running guest in other modes", () => {
  test("stop: is shut down, copied from a paused machine, and runs again before the copy is done", async () => {
    await start();
    const pid = runner.status(200).pid;
    override = { shutdown: (vmId) => runner.stop(vmId) };
    const context = fixture.context();
    await fixture.backup({ mode: "stop" }, context);
    expect(calls).toEqual(["transaction", "cont"]);
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
    expectNothingLeft();
  }, 60_000);

  test("suspend: is paused until the copy starts", async () => {
    await start();
    const context = fixture.context();
    await fixture.backup({ mode: "suspend" }, context);
    expect(context.lines).toContain("INFO: suspending guest");
    expect(runner.status(200).qmpStatus).toBe("running");
  }, 60_000);
});

describe("a stopped guest", () => {
  test("is read from its disks, and stays stopped; a restore does not look at them", async () => {
    const before = fixture.volumes.read("local-lvm:vm-200-disk-0");
    const context = fixture.context();
    await fixture.backup({ compress: "gzip" }, context);
    expect(context.lines).toContain("INFO: backup mode: stop");
    expect(calls).toEqual([]);
    fixture.volumes.write("local-lvm:vm-200-disk-0", 0, Buffer.alloc(24 * MIB, 0xff));
    await fixture.volumes.free("local-lvm:vm-200-disk-1");
    await fixture.restore({ archivePath: fixture.archive() }, fixture.context());
    expect(fixture.volumes.read("local-lvm:vm-9200-disk-0").equals(before)).toBe(true);
    expect(fixture.volumes.read("local-lvm:vm-9200-disk-1").subarray(0, MIB).equals(SECOND_DISK)).toBe(true);
  });

  test("that another task holds is left alone", async () => {
    fixture.locks.set(200, "create");
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain("ERROR: Backup of VM 200 failed - VM is locked (create)");
    expect(fixture.locks.get(200)).toBe("create");
  });

  test("whose disk is gone fails by name", async () => {
    await fixture.volumes.free("local-lvm:vm-200-disk-1");
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain("ERROR: Backup of VM 200 failed - volume 'local-lvm:vm-200-disk-1' does not exist");
    expectNothingLeft();
  });
});

describe("a job", () => {
  test("goes on after a guest that does not exist, and fails in the end", async () => {
    const context = fixture.context();
    await expect(fixture.backup({ vmIds: [999, 200] }, context)).rejects.toThrow("job errors");
    expect(context.lines).toContain("ERROR: Backup of VM 999 failed - unable to find VM '999'");
    fixture.archive();
  });

  test("removes the disk copies of a lab that was killed, and nothing else", async () => {
    const left = join(fixture.tmpDir, "vzdumptmp4711_200");
    mkdirSync(left, { recursive: true });
    writeFileSync(join(left, "scsi0.qcow2"), "left over");
    writeFileSync(join(fixture.tmpDir, "other"), "");
    await fixture.backup({}, fixture.context());
    expect(readdirSync(fixture.tmpDir)).toEqual(["other"]);
  });

  test("waits for the one before it", async () => {
    const first = fixture.backup({ bandwidthLimitKiB: 8192 }, fixture.context());
    const context = fixture.context();
    const second = fixture.backup({ vmIds: [999] }, context);
    await first;
    await expect(second).rejects.toThrow("job errors");
    expect(context.lines.slice(0, 2)).toEqual([
      "INFO: trying to get global lock - waiting...",
      "INFO: got global lock",
    ]);
  });

  const guest = { vmId: 200, name: "docker", disks: [{ key: "scsi0", sizeBytes: MIB }] };
  const old = (day: number): string => writeGeneratedArchive(fixture.dumpDir, guest, new Date(2025, 0, day), "vma");

  test("prunes the guest's old archives after a new one, and no others", async () => {
    const [first, second, third] = [old(1), old(2), old(3)];
    writeFileSync(`${first}.protected`, "");
    writeFileSync(`${second}.notes`, "old");
    const other = writeGeneratedArchive(fixture.dumpDir, { ...guest, vmId: 201 }, new Date(2024, 0, 1), "vma");
    const context = fixture.context();
    await fixture.backup({ storagePruneBackups: { keepLast: 9 }, pruneBackups: { keepLast: 2 } }, context);
    expect(context.lines.join("\n")).toContain(
      `INFO: prune older backups with retention: keep-last=2\n` +
        `INFO: removing backup 'nas:backup/${basename(second)}'\n` +
        `INFO: pruned 1 backup(s) not covered by keep-retention policy\n`,
    );
    for (const path of [first, third, other]) expect(existsSync(path)).toBe(true);
    expect(existsSync(second)).toBe(false);
    expect(existsSync(`${second}.notes`)).toBe(false);
  });

  test("without removal refuses when the retention is used up", async () => {
    old(1);
    const context = fixture.context();
    await expect(fixture.backup({ remove: false, storagePruneBackups: { keepLast: 1 } }, context)).rejects.toThrow(
      "job errors",
    );
    expect(context.lines.join("\n")).toContain("There is a max backup limit of 1 enforced by the target storage");
  });

  test("of a guest without disks is refused by name", async () => {
    fixture.configs.set(200, "memory: 32\n");
    const context = fixture.context();
    await expect(fixture.backup({}, context)).rejects.toThrow("job errors");
    expect(context.lines.join("\n")).toContain("backup contains no disks");
  });
});
