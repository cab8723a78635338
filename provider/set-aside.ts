/**
 * Replaces a broken VM: its disks go to a VM that keeps them, one after another by rename, then the emptied VM goes. Nothing is
 * copied and no disk is deleted. Each step is looked up before it is done, so that a run that was killed is gone on with.
 */
import { join } from "node:path";
import { findGuest, isVmIdFree } from "../pve/cluster/resources";
import { createVm, destroyVm, reassignDisk, updateVm, vmConfig } from "../pve/nodes/qemu";
import { waitForTask } from "../pve/nodes/tasks";
import { asideName, asideParameters, disksOf, keptConfig } from "./aside-vm";
import type { RestoredVmInputs } from "./contract/restore";
import type { Replace } from "./contract/run";
import type { ProviderContext } from "./definition";
import { writeFileAtomically } from "./files";
import { appendEvent } from "./journal";
import { requireRights } from "./replacement-rights";
import { type AsideVm, findAside, lookForReplacement, type Replacement, stepTimeoutMs } from "./replacement";

/** A VM's configuration. */
type Config = Readonly<Record<string, string>>;

/** Name of the file in a run's folder that holds the configuration of the VM that the run replaced. */
export function keptConfigFile(vmId: number): string {
  return `vm-${vmId}.conf`;
}

/**
 * Takes the broken VM away that the run's lease has seen. Where it is gone already, tells where its disks are. Does nothing
 * without the operator's consent.
 *
 * @throws Error when anything is not as the lease has seen it; what was done until then is gone on with by the next run
 */
export async function setAside(
  context: ProviderContext,
  inputs: RestoredVmInputs,
  archiveConfig: Config,
): Promise<void> {
  const { client } = context;
  const { run, replace } = inputs;
  if (replace === undefined) return;
  const place = { node: run.node, vmId: run.vmId, replace, archiveConfig };
  if (run.replaces === undefined) {
    const aside = await findAside(client, place);
    if (aside === undefined) return;
    await tellBegun(inputs, replace, aside);
    const { began, vmName } = aside.mark;
    const kept = `VM ${replace.asideVmId} ("${asideName(vmName)}") keeps disks of an old VM ${run.vmId} since run ${began}`;
    await appendEvent(run, { type: "finding", text: `${kept}; this run replaced nothing.` });
    await appendEvent(run, { type: "replaced" });
    return;
  }
  const guest = await findGuest(client, run.vmId);
  if (guest === undefined) throw notAsSeen(inputs, "it is gone");
  const replacement = await lookForReplacement(client, guest, place);
  if (replacement.config["digest"] !== run.replaces) throw notAsSeen(inputs, "its configuration was changed");
  await requireRights(client, inputs, replacement);
  const emptied = await moveDisks(context, inputs, replace, replacement);
  await destroyEmptied(context, inputs, emptied);
}

/** Gives the configuration of the VM without disks. */
async function moveDisks(
  context: ProviderContext,
  inputs: RestoredVmInputs,
  replace: Replace,
  { mark, config, left, aside }: Replacement,
): Promise<Config> {
  const { client, report } = context;
  const { run } = inputs;
  const { node, vmId } = run;
  const { asideVmId } = replace;
  const began = aside?.mark.began ?? run.runId;
  if (aside === undefined) await writeFileAtomically(join(run.runDir, keptConfigFile(vmId)), keptConfig(config));
  await tellBegun(inputs, replace, aside ?? { mark: { began, ...mark }, disks: [] });
  if (aside === undefined) {
    const place = { vmid: asideVmId, pool: inputs.pool };
    await waitFor(context, inputs, await createVm(client, node, asideParameters(place, { began, ...mark }, config)));
  }
  let present = config;
  for (const { disk } of left) {
    const { digest } = present;
    report("progress", `VM ${vmId}: ${disk} goes to VM ${asideVmId}`);
    await waitFor(context, inputs, await reassignDisk(client, node, vmId, { disk, targetVmId: asideVmId, digest }));
    const after = await vmConfig(client, node, vmId);
    const kept = disksOf(await vmConfig(client, node, asideVmId)).find((other) => other.disk === disk);
    if (kept === undefined || after[disk] !== undefined || !isSameBut(present, after, disk)) {
      throw notAsSeen(inputs, `after ${disk} went to VM ${asideVmId} they are not what they should be`);
    }
    await appendEvent(run, { type: "disk-set-aside", ...kept });
    present = after;
  }
  return present;
}

/** The emptied VM goes only as the one that was looked at until now. Backup jobs go on naming its VMID. */
async function destroyEmptied(context: ProviderContext, inputs: RestoredVmInputs, emptied: Config): Promise<void> {
  const { client } = context;
  const { run } = inputs;
  const { node, vmId } = run;
  let present = emptied;
  if (present["protection"] === "1") {
    await updateVm(client, node, vmId, { protection: false, digest: present["digest"] });
    present = await vmConfig(client, node, vmId);
    if (!isSameBut(emptied, present, "protection")) throw notAsSeen(inputs, "its configuration was changed");
  }
  if (disksOf(present).length > 0) throw notAsSeen(inputs, "it has disks again");
  await waitFor(context, inputs, await destroyVm(client, node, vmId, { unreferencedDisks: false }));
  // Its configuration can't be asked for: the token's rights on it may have gone with it.
  if (!(await isVmIdFree(client, vmId))) throw notAsSeen(inputs, "its destroy task ended well, but it is still there");
  await appendEvent(run, { type: "replaced" });
}

/** Journal of what begins, goes on, or was done by an earlier run. */
async function tellBegun({ run }: RestoredVmInputs, replace: Replace, { mark, disks }: AsideVm): Promise<void> {
  const { asideVmId, reason } = replace;
  await appendEvent(run, {
    type: "replacing",
    ...{ asideVmId, asideName: asideName(mark.vmName), began: mark.began, disks: [...mark.disks], reason },
  });
  for (const disk of disks.filter((one) => mark.disks.includes(one.disk))) {
    await appendEvent(run, { type: "disk-set-aside", ...disk });
  }
}

async function waitFor({ client, signal }: ProviderContext, inputs: RestoredVmInputs, upid: string): Promise<void> {
  await waitForTask(client, upid, { timeoutMs: stepTimeoutMs(inputs), signal });
}

/** Whether nothing else changed: Proxmox takes a moved disk out of the boot order by itself. */
function isSameBut(before: Config, after: Config, changed: string): boolean {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].every((key) => [changed, "boot", "digest"].includes(key) || before[key] === after[key]);
}

function notAsSeen({ run: { node, vmId } }: RestoredVmInputs, what: string): Error {
  return new Error(
    `Unable to replace VM ${vmId} on ${node}: ${what}, so somebody else works on it. None of its disks was deleted. ` +
      "Look what is done there, then run the restore again; it goes on where this one ended.",
  );
}
