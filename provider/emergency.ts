/** What must hold before production itself is restored, and whose identity it gets back. Changes nothing. */
import { randomUUID } from "node:crypto";
import type { PveClient } from "../pve/client";
import { type ClusterGuest, findGuest, isVmIdFree } from "../pve/cluster/resources";
import { vmConfig, vmStatus } from "../pve/nodes/qemu";
import { diskKeys, driveVolume, isCdrom, parseVmConfig } from "../pve/vm-config";
import { archiveFindings } from "./archive-findings";
import { asideName } from "./aside-vm";
import { requireCapacity } from "./capacity";
import type { LeaseInputs, Replace, RunRef } from "./contract/run";
import type { ProviderContext } from "./definition";
import { newestRunOn } from "./journal";
import { identityIn } from "./original-identity";
import { smbiosUuid } from "./ownership";
import { awaitSteps, lookForReplacement, type Replacement } from "./replacement";
import { missingBridges } from "./restore-way";
import { messageOf } from "./text";

/** What an emergency restore begins with. */
export interface EmergencyBegin {
  readonly identity: Pick<RunRef, "vmName" | "vmUuid" | "resumes" | "replaces">;
  /** Start of the run that restored the VM, in milliseconds since the epoch by the node's clock; absent: nothing is taken up. */
  readonly recoveryStartedAtNode?: number;
  /** For the evidence, one text each. */
  readonly findings: string[];
}

/**
 * Looks whether the VM is gone, or may be replaced, and there is room for the restored one. A VM that an earlier emergency
 * restored without passing is taken up, because it may hold new data by now.
 *
 * @throws Error that says what was found at the VMID, or both numbers of what is short.
 */
export async function lookForEmergency(
  context: Pick<ProviderContext, "client" | "signal">,
  inputs: LeaseInputs,
): Promise<EmergencyBegin> {
  const { client } = context;
  const { node, vmId, outageAt, replace } = inputs;
  await awaitSteps(context, inputs);
  const findings =
    outageAt === undefined
      ? ["When the outage began was not stated, so RPO counts from the start of the restore."]
      : [];
  const guest = await findGuest(client, vmId);
  if (guest !== undefined) {
    const takenUp = await resumed(client, inputs, guest);
    if (takenUp !== undefined) return { ...takenUp, findings };
    if (replace === undefined) throw await standing(client, inputs, guest);
  } else if (!(await isVmIdFree(client, vmId))) {
    throw new Error(
      `Unable to restore VM ${vmId} on ${node}: the VMID is taken by a guest that the token can't see. ` +
        `Grant it VM.Audit on /vms/${vmId} and look what it is.`,
    );
  }
  const archiveText = await requireCapacity(client, inputs).catch((error: unknown) => {
    if (guest === undefined) throw error;
    const text = `${messageOf(error)} The disks of VM ${vmId} that stands are kept beside them and free no room.`;
    throw new Error(text, { cause: error });
  });
  const archiveConfig = parseVmConfig(archiveText);
  const replacement =
    guest === undefined || replace === undefined
      ? undefined
      : await lookForReplacement(client, guest, { node, vmId, replace, archiveConfig });
  if (replacement !== undefined && replace !== undefined) findings.push(replacementFinding(replacement, replace));
  findings.push(...archiveFindings(inputs, archiveText));
  findings.push(...(await missingBridges(client, node, archiveConfig)));
  const { name, uuid } = identityIn(archiveConfig);
  if (name !== undefined && name !== inputs.vmName) {
    findings.push(
      `The VM is called "${name}" in the archive and "${inputs.vmName}" in the configuration; the archive counts.`,
    );
  }
  return {
    identity: {
      vmName: name ?? inputs.vmName,
      vmUuid: uuid ?? randomUUID(),
      ...(replacement === undefined ? {} : { replaces: replacement.config["digest"] ?? "" }),
    },
    findings,
  };
}

function replacementFinding({ mark, left, aside }: Replacement, { asideVmId, until, reason }: Replace): string {
  const disks = left.map(({ disk, volume }) => `${disk} ${volume}`).join(", ");
  return (
    `VM ${mark.vmId} ("${mark.vmName}") stands and is replaced by consent until ${until}: ${reason} ` +
    (disks === ""
      ? ""
      : `Its disks (${disks}) are kept under VM ${asideVmId} ("${asideName(mark.vmName)}"), none is deleted. `) +
    (aside === undefined ? "" : `Run ${aside.mark.began} began it.`)
  ).trim();
}

/** Undefined when the VM that stands is none that an emergency left without a pass. */
async function resumed(
  client: PveClient,
  inputs: LeaseInputs,
  guest: ClusterGuest,
): Promise<Pick<EmergencyBegin, "identity" | "recoveryStartedAtNode"> | undefined> {
  const { node, vmId, evidenceDir, restorePoint, replace } = inputs;
  if (guest.type !== "qemu" || guest.node !== node) return undefined;
  const run = await newestRunOn(evidenceDir, node, vmId);
  const started = run?.events.find((event) => event.type === "run-started");
  const isOpen =
    run !== undefined &&
    (started?.resumes !== undefined || run.events.some(({ type }) => type === "handed-over")) &&
    !run.events.some((event) => event.type === "run-ended" && event.verdict === "passed");
  if (run === undefined || started === undefined || !isOpen) return undefined;
  const config = await vmConfig(client, node, vmId);
  if (smbiosUuid(config) !== started.vmUuid.toLowerCase()) return undefined;
  if (started.restorePoint.archive !== restorePoint.archive) {
    if (replace !== undefined) return undefined;
    throw new Error(
      `Unable to go on with VM ${vmId} on ${node}: run ${run.runId} restored it from ${started.restorePoint.archive}, and now ` +
        `${restorePoint.archive} is chosen. Name the former: restorePoint {choose: named, archive: ${started.restorePoint.archive}}.`,
    );
  }
  const { vmName, vmUuid, resumes, recoveryStartedAt, clockOffsetSeconds = 0 } = started;
  // The run that restored the VM, not one that went on with it: the VM may still carry the former's mark.
  const identity = { vmName, vmUuid, resumes: resumes ?? run.runId };
  const since = recoveryStartedAt ?? (resumes === undefined ? started.at : undefined);
  if (since === undefined) return { identity };
  return { identity, recoveryStartedAtNode: Date.parse(since) + clockOffsetSeconds * 1000 };
}

/** What stands where the VM is to be restored. */
async function standing(client: PveClient, { node, vmId }: LeaseInputs, guest: ClusterGuest): Promise<Error> {
  const head = `Unable to restore VM ${vmId} on ${node}: ${guest.type === "lxc" ? "container" : "VM"} ${vmId} exists`;
  const facts = [`"${guest.name ?? "without a name"}" on ${guest.node}`];
  if (guest.type === "qemu") facts.push(...(await factsOf(client, guest)));
  return new Error(
    `${head} (${facts.join(", ")}). Nothing was changed. If it is healthy, nothing has to be restored; to see whether its ` +
      "backup is good, run a drill. If it is beyond repair: name the good archive in homelab:restore.restorePoint first, because a " +
      `backup of the broken VM would be the newest; stop it (qm stop ${vmId}); let it be replaced, with its disks kept under a free VMID: ` +
      'homelab:restore.replace {until: "<time, soon>", reason: …, asideVmId: …}; and run the restore again.',
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
