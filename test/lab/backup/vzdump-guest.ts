/** The guest that backup tests back up: a real QEMU machine without an operating system. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createMachineRunner, type DisposableMachineRunner } from "../../../lab/qemu";
import { type GuestAgent, type MachineRunner, type Qmp } from "../../../lab/types";
import { EngineFixture, MIB, noise } from "./engine-fixture";

export const CONFIG = `agent: enabled=1
boot: order=scsi0
memory: 32
name: docker
scsi0: local-lvm:vm-200-disk-0,size=24M
scsi1: local-lvm:vm-200-disk-1,size=8M
scsi2: local-lvm:vm-200-disk-2,backup=0,size=1M
scsihw: virtio-scsi-pci
smbios1: uuid=11111111-2222-3333-4444-555555555555
`;
/** What the second disk begins with. */
export const SECOND_DISK = noise(MIB, 2);

/** The real runner, with an agent that no guest has to have, and a record of the calls. */
export class ObservedMachines {
  /** What the engine asked the guest and QEMU for, in order. */
  readonly calls: string[] = [];
  /** False: no agent answers. */
  agentAnswers = true;
  override: Partial<MachineRunner> = {};
  /** QMP command that fails. */
  failOn: string | undefined;

  observe(inner: DisposableMachineRunner): MachineRunner {
    const agent: GuestAgent = {
      execute: async <T>(command: string) => {
        this.calls.push(command);
        if (!this.agentAnswers) throw new Error("got timeout");
        return {} as T;
      },
    };
    const watch = (qmp: Qmp): Qmp => ({
      execute: async (command, args) => {
        if (command === "transaction" || command === "cont" || command === "job-cancel") this.calls.push(command);
        if (command === this.failOn) throw new Error(`VM 200 qmp command '${command}' failed - broken on purpose`);
        return qmp.execute(command, args);
      },
      waitForEvent: (name, filter, timeoutMs) => qmp.waitForEvent(name, filter, timeoutMs),
    });
    return {
      start: (...args) => (this.override.start ?? inner.start.bind(inner))(...args),
      stop: (vmId) => inner.stop(vmId),
      shutdown: (...args) => (this.override.shutdown ?? inner.shutdown.bind(inner))(...args),
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
}

/** An engine with VM 200, stopped, and its three disks. */
export async function makeGuest(
  machines: ObservedMachines,
): Promise<{ fixture: EngineFixture; runner: DisposableMachineRunner }> {
  const runners: DisposableMachineRunner[] = [];
  const fixture = new EngineFixture((self) => {
    const made = createMachineRunner({ dir: join(self.dir, "lab"), nodeCores: 2, volumes: self.volumes, accel: "tcg" });
    runners.push(made);
    return machines.observe(made);
  });
  const [runner] = runners;
  if (runner === undefined) throw new Error("the fixture made no runner");
  fixture.configs.set(200, CONFIG);
  await fixture.volumes.allocateDisk("local-lvm", 200, 24 * MIB);
  await fixture.volumes.allocateDisk("local-lvm", 200, 8 * MIB);
  await fixture.volumes.allocateDisk("local-lvm", 200, MIB);
  fixture.volumes.write("local-lvm:vm-200-disk-0", 4 * MIB, noise(8 * MIB, 1));
  fixture.volumes.write("local-lvm:vm-200-disk-1", 0, SECOND_DISK);
  return { fixture, runner };
}

/** Nothing of a failed backup may be left but its log. */
export function expectNothingLeft(fixture: EngineFixture): void {
  expect(fixture.dumps().filter((name) => !name.endsWith(".log"))).toEqual([]);
  expect(existsSync(fixture.tmpDir) ? readdirSync(fixture.tmpDir) : []).toEqual([]);
  expect(fixture.locks.size).toBe(0);
}
