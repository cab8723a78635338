/** What must hold before production itself is restored, and whose identity it gets back. Changes nothing. */
import { randomUUID } from "node:crypto";
import type { PveClient } from "../pve/client";
import { type ClusterGuest, findGuest, isVmIdFree } from "../pve/cluster/resources";
import { vmConfig, vmStatus } from "../pve/nodes/qemu";
import { diskKeys, driveVolume, isCdrom, parseVmConfig } from "../pve/vm-config";
import { archiveFindings } from "./archive-findings";
import { requireCapacity } from "./capacity";
import type { LeaseInputs, RunRef } from "./contract/run";
import { volumesOf } from "./free-vm-id";
import { newestRunOn } from "./journal";
import { identityIn } from "./original-identity";
import { smbiosUuid } from "./ownership";
import { missingBridges } from "./restore-way";
import { messageOf } from "./text";

/** What an emergency restore begins with. */
export interface EmergencyBegin {
  readonly identity: Pick<RunRef, "vmName" | "vmUuid" | "resumes">;
  /** For the evidence, one text each. */
  readonly findings: string[];
  /** Why disks of the VMID may exist that are not the run's. */
  readonly doubts: string[];
}

/**
 * Looks whether the VM is gone and there is room for it. A VM that an earlier emergency restored without passing is taken up,
 * because it may hold new data by now.
 *
 * @throws Error that says what was found at the VMID, or both numbers of what is short.
 */
export async function lookForEmergency(client: PveClient, inputs: LeaseInputs): Promise<EmergencyBegin> {
  const { node, vmId, outageAt } = inputs;
  const findings =
    outageAt === undefined
      ? ["When the outage began was not stated, so RPO counts from the start of the restore."]
      : [];
  const guest = await findGuest(client, vmId);
  if (guest !== undefined)
    return { identity: await resumed(client, inputs, guest), findings, doubts: ["it was restored before this run"] };
  if (!(await isVmIdFree(client, vmId))) {
    throw new Error(
      `Unable to restore VM ${vmId} on ${node}: the VMID is taken by a guest that the token can't see. ` +
        `Grant it VM.Audit on /vms/${vmId} and look what it is.`,
    );
  }
  const [archiveText, { volumes, doubts }] = await Promise.all([
    requireCapacity(client, inputs),
    volumesOf(client, { node, vmId }),
  ]);
  const archiveConfig = parseVmConfig(archiveText);
  findings.push(...archiveFindings(inputs, archiveText));
  if (volumes.length > 0) {
    findings.push(
      `Disks of VM ${vmId} without a VM were there before and were left alone: ${volumes.join(", ")}. ` +
        "They may hold newer data than the backup.",
    );
  }
  findings.push(...(await missingBridges(client, node, archiveConfig)));
  const { name, uuid } = identityIn(archiveConfig);
  if (name !== undefined && name !== inputs.vmName) {
    findings.push(
      `The VM is called "${name}" in the archive and "${inputs.vmName}" in the configuration; the archive counts.`,
    );
  }
  return {
    identity: { vmName: name ?? inputs.vmName, vmUuid: uuid ?? randomUUID() },
    findings,
    doubts: volumes.length > 0 ? ["there are some already"] : doubts,
  };
}

/** @throws Error when the VM that stands is none that an emergency left without a pass. */
async function resumed(
  client: PveClient,
  inputs: LeaseInputs,
  guest: ClusterGuest,
): Promise<EmergencyBegin["identity"]> {
  const { node, vmId, evidenceDir, restorePoint } = inputs;
  if (guest.type !== "qemu" || guest.node !== node) throw await standing(client, inputs, guest);
  const run = await newestRunOn(evidenceDir, node, vmId);
  const started = run?.events.find((event) => event.type === "run-started");
  const isOpen =
    run !== undefined &&
    (started?.resumes !== undefined || run.events.some(({ type }) => type === "handed-over")) &&
    !run.events.some((event) => event.type === "run-ended" && event.verdict === "passed");
  if (run === undefined || started === undefined || !isOpen) throw await standing(client, inputs, guest);
  const config = await vmConfig(client, node, vmId);
  if (smbiosUuid(config) !== started.vmUuid.toLowerCase()) throw await standing(client, inputs, guest);
  if (started.restorePoint.archive !== restorePoint.archive) {
    throw new Error(
      `Unable to go on with VM ${vmId} on ${node}: run ${run.runId} restored it from ${started.restorePoint.archive}, and now ` +
        `${restorePoint.archive} is chosen. Name the former: restorePoint {choose: named, archive: ${started.restorePoint.archive}}.`,
    );
  }
  return { vmName: started.vmName, vmUuid: started.vmUuid, resumes: run.runId };
}

/** What stands where the VM is to be restored. */
async function standing(client: PveClient, { node, vmId }: LeaseInputs, guest: ClusterGuest): Promise<Error> {
  const head = `Unable to restore VM ${vmId} on ${node}: ${guest.type === "lxc" ? "container" : "VM"} ${vmId} exists`;
  const facts = [`"${guest.name ?? "without a name"}" on ${guest.node}`];
  if (guest.type === "qemu") facts.push(...(await factsOf(client, guest)));
  return new Error(
    `${head} (${facts.join(", ")}). Nothing was changed. If it is healthy, nothing has to be restored; to see whether its ` +
      "backup is good, run a drill. If it is beyond repair: name the good archive in homelab:restore.restorePoint first, because a " +
      "backup of the broken VM would be the newest; then take the VM away (qm stop, qm set --protection 0, qm destroy) and run the restore again.",
  );
}

async function factsOf(client: PveClient, { node, vmid }: ClusterGuest): Promise<string[]> {
  try {
    const [{ status }, config] = await Promise.all([vmStatus(client, node, vmid), vmConfig(client, node, vmid)]);
    const drives = diskKeys(config).map((key) => config[key] ?? "");
    const disks = drives.filter((drive) => !isCdrom(drive)).map(driveVolume);
    return [status, disks.length === 0 ? "without disks" : `with ${disks.join(", ")}`];
  } catch (error) {
    return [`of which no more can be told: ${messageOf(error)}`];
  }
}
