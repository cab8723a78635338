/**
 * Machines without an operating system for tests of the runner: a boot sector is a whole guest. Run as a program, it starts one
 * such machine (and its bridge, if asked for one) and prints what a test in another process needs to know.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { type DisposableMachineRunner, createMachineRunner, setUpBridges } from "../../../lab/qemu";
import type { TaskContext, VmConfig, VolumeStore } from "../../../lab/types";

/** What the polite guest writes to its serial port. */
export const GREETING = "boot sector is here";

/** Writes the greeting, switches the power button on, waits for it, switches the machine off (PIIX4 ACPI, ports 0x600). */
const POLITE = [
  [0x31, 0xc0, 0x8e, 0xd8, 0xfc], // ax = ds = 0; count up
  [0xbe, 0x2c, 0x7c, 0xba, 0xf8, 0x03], // si = the text; dx = serial port
  [0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8], // write bytes up to NUL
  [0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef], // PM1 enable: power button
  [0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xfa], // until PM1 status says it was pressed
  [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4], // PM1 control: soft off
  [0x90], // the text is at 0x7c2c
].flat();

/** `cli; hlt`: nothing reaches it. */
const DEAF = [0xfa, 0xf4, 0xeb, 0xfd];

/** Storage `disks` of plain files in one folder. */
export class FolderVolumes implements VolumeStore {
  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
  }

  /** A disk whose first sector is the guest. */
  addGuest(kind: "polite" | "deaf"): string {
    const sector = Buffer.alloc(1024 * 1024);
    Buffer.from([...(kind === "polite" ? POLITE : DEAF), ...Buffer.from(`${GREETING}\r\n\0`)]).copy(sector);
    sector.writeUInt16LE(0xaa55, 510);
    writeFileSync(join(this.folder, "vm-200-disk-0"), sector);
    return "disks:vm-200-disk-0";
  }

  pathOf(volumeId: string): string {
    return join(this.folder, basename(volumeId.replace(":", "/")));
  }

  async allocateCloudInit(storage: string, vmId: number): Promise<string> {
    const id = `${storage}:vm-${vmId}-cloudinit`;
    writeFileSync(this.pathOf(id), Buffer.alloc(4 * 1024 * 1024), { flag: "a" });
    return id;
  }

  allocateDisk(): Promise<string> {
    throw new Error("Unable to allocate a disk: these tests bring their own.");
  }

  sizeOf(): Promise<number> {
    throw new Error("Unable to tell a size: nothing in these tests asks.");
  }

  free(): Promise<void> {
    throw new Error("Unable to free a volume: nothing in these tests asks.");
  }
}

/** A runner with one bare guest, VM 200. */
export class BareMachine implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "bare-"));
  readonly volumes = new FolderVolumes(join(this.dir, "disks"));
  readonly runner: DisposableMachineRunner = createMachineRunner({
    dir: this.dir,
    nodeCores: 1,
    volumes: this.volumes,
  });
  readonly config: VmConfig;
  readonly log: string[] = [];
  private readonly abort = new AbortController();
  readonly context: TaskContext = { log: (line) => this.log.push(line), signal: this.abort.signal };

  constructor(kind: "polite" | "deaf", config: VmConfig = {}) {
    this.config = {
      memory: "32",
      boot: "order=scsi0",
      scsihw: "virtio-scsi-pci",
      scsi0: this.volumes.addGuest(kind),
      ...config,
    };
  }

  start(paused = false): Promise<void> {
    return this.runner.start(200, this.config, this.context, { paused });
  }

  shutdown(timeoutSeconds: number, forceStop = false): Promise<void> {
    return this.runner.shutdown(200, this.config, { timeoutSeconds, forceStop }, this.context);
  }

  stopTask(): void {
    this.abort.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner[Symbol.asyncDispose]();
    execFileSync("rm", ["-r", this.dir]);
  }
}

async function main(bridge: string | undefined): Promise<void> {
  if (bridge !== undefined) {
    const bridges = [
      { name: bridge, addresses: ["192.168.20.1/24"] },
      { name: "vmbr99", addresses: [] },
    ];
    await setUpBridges(bridges);
    await setUpBridges(bridges);
  }
  const machine = new BareMachine(
    "polite",
    bridge === undefined ? {} : { net0: `virtio=BC:24:11:00:00:01,bridge=${bridge}` },
  );
  await machine.start();
  const links: unknown = JSON.parse(execFileSync("ip", ["-json", "address"], { encoding: "utf8" }));
  const { pid } = machine.runner.status(200);
  if (bridge !== undefined) await machine.runner.stop(200);
  const linksAfter: unknown = JSON.parse(execFileSync("ip", ["-json", "address"], { encoding: "utf8" }));
  process.stdout.write(`${JSON.stringify({ pid, dir: machine.dir, links, linksAfter })}\n`);
  if (bridge !== undefined) await machine[Symbol.asyncDispose]();
  else setInterval(() => undefined, 1_000); // stays until it is killed
}

if (require.main === module) {
  main(process.argv[2]).catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
}
