/** Starting, stopping and restarting guests, inside tasks. */
import { type Lab } from "../context";
import { type TaskContext } from "../types";
import { applyChange } from "./config-change";

/** Applies what waits for a start: the configuration that the machine will have. */
export async function applyPending(lab: Lab, vmId: number): Promise<void> {
  const { current, pending, pendingDelete } = lab.guests.read(vmId);
  if (Object.keys(pending).length === 0 && pendingDelete.length === 0) return;
  const { config, freed } = applyChange(lab.volumes, vmId, current, { values: pending, deleted: pendingDelete });
  lab.guests.write(vmId, { current: config });
  for (const volid of freed) await lab.volumes.free(volid);
}

/** Work of a `qmstart` task. */
export async function startGuest(lab: Lab, vmId: number, context: TaskContext): Promise<void> {
  await lab.guests.exclusively(vmId, async () => {
    const running = lab.machines.status(vmId).status === "running";
    const { lock, template } = lab.guests.read(vmId).current;
    // A guest whose backup holds it is only resumed, which PVE allows.
    if (lock !== undefined && !(lock === "backup" && running)) throw new Error(`VM is locked (${lock})`);
    if (template === "1") throw new Error("you can't start a vm if it's a template");
    if (running) {
      if (lock === "backup") {
        await lab.machines.qmp(vmId)?.execute("cont");
        return;
      }
      throw new Error(`VM ${vmId} already running`);
    }
    await applyPending(lab, vmId);
    const config = lab.faults.startConfig(vmId, lab.guests.read(vmId).current, lab.now());
    const routed = lab.spec.bridges.find(({ addresses }) => addresses.length > 0);
    const started = routed === undefined ? config : lab.faults.startNetwork(vmId, config, routed);
    await lab.machines.start(vmId, started, context);
  });
}

/** Work of a `qmstop` task; a stopped guest is fine. */
export async function stopGuest(lab: Lab, vmId: number): Promise<void> {
  await lab.guests.exclusively(vmId, async () => {
    if (lab.machines.status(vmId).status === "stopped") return;
    lab.guests.checkLock(vmId);
    await lab.machines.stop(vmId);
  });
}

/** Work of a `qmshutdown` task; a stopped guest is fine. */
export async function shutDownGuest(
  lab: Lab,
  vmId: number,
  options: { timeoutSeconds: number; forceStop: boolean },
  context: TaskContext,
): Promise<void> {
  await lab.guests.exclusively(vmId, async () => {
    if (lab.machines.status(vmId).status === "stopped") return;
    lab.guests.checkLock(vmId);
    await lab.machines.shutdown(vmId, lab.guests.read(vmId).current, options, context);
  });
}
