/**
 * Whether a broken VM may be replaced while its disks are kept: by the operator's consent, as the VM that the archive is of, and
 * in no state in which Proxmox would refuse half-way. Changes nothing. What comes of it is done in `set-aside.ts`.
 */
import type { PveClient } from "../pve/client";
import { replicationJobs } from "../pve/cluster/replication";
import { type ClusterGuest, findGuest, isVmIdFree } from "../pve/cluster/resources";
import { snapshotNames, vmConfig, vmStatus } from "../pve/nodes/qemu";
import { nodeStorages } from "../pve/nodes/storage";
import { PveTaskFailed, runningTasks, waitForTask } from "../pve/nodes/tasks";
import { isVolumeId, parseVolumeId } from "../pve/volume-id";
import { type AsideMark, asideName, disksOf, type KeptDisk, parseAsideMark, unmovable } from "./aside-vm";
import { type LeaseInputs, type RemovalLimits, removalLimitsSchema, type Replace } from "./contract/run";
import type { ProviderContext } from "./definition";
import { volumesOf } from "./free-vm-id";
import { identityIn } from "./original-identity";
import { markOn, smbiosUuid } from "./ownership";

/** A VM's configuration. */
type Config = Readonly<Record<string, string>>;

/** The VM that keeps the disks, as it stands. */
export interface AsideVm {
  readonly mark: AsideMark;
  readonly disks: readonly KeptDisk[];
}

/** What is asked. */
export interface ReplacementArgs {
  readonly node: string;
  /** The broken VM. */
  readonly vmId: number;
  readonly replace: Replace;
  /** Configuration inside the archive that is to be restored. */
  readonly archiveConfig: Config;
}

/** A broken VM that may be replaced. */
export interface Replacement {
  /** Without the run that began it. */
  readonly mark: Omit<AsideMark, "began">;
  /** With the digest. */
  readonly config: Config;
  /** Disks that are still in the broken VM. */
  readonly left: readonly KeptDisk[];
  /** Undefined: nothing was begun yet. */
  readonly aside: AsideVm | undefined;
}

/** Limit of one step of a replacement in milliseconds: that of a VM's removal, because no step copies data. */
export function stepTimeoutMs({ removalLimits }: { readonly removalLimits?: RemovalLimits | undefined }): number {
  return removalLimitsSchema.parse(removalLimits ?? {}).removeTimeoutSeconds * 1000;
}

/** Storage types of Proxmox that can't rename a volume. Source: pve-storage, plugins without the feature `rename`. */
const WITHOUT_RENAME = new Set(["iscsi", "iscsidirect", "zfs", "esxi"]);

/**
 * Looks at the VM that stands and at the VMID for its disks.
 *
 * @throws Error that names everything that was found and what to do about it
 */
export async function lookForReplacement(
  client: PveClient,
  guest: ClusterGuest,
  args: ReplacementArgs,
): Promise<Replacement> {
  const { node, vmId, replace } = args;
  const subject = `Unable to replace VM ${vmId} on ${node}`;
  const elsewhere =
    guest.type === "lxc" ? "it is a container" : guest.node === node ? undefined : `it is on ${guest.node}`;
  if (elsewhere !== undefined) {
    throw new Error(
      `${subject}: ${elsewhere}. Only a VM on ${node} can be replaced; name the node of the VM in homelab:node.`,
    );
  }
  const [config, aside] = await Promise.all([vmConfig(client, node, vmId), findAside(client, args)]);
  const problems = [
    ...consentProblems(replace),
    ...identityProblems(config, args),
    ...(await stateProblems(client, args, config)),
    ...(await diskProblems(client, args, config)),
  ];
  if (aside === undefined) problems.push(...(await asideIdProblems(client, args)));
  else problems.push(...progressProblems(args, config, aside), ...(await renameProblems(client, args, config, aside)));
  const left = disksOf(config);
  if (aside === undefined && left.length === 0) {
    problems.push(
      `it has no disk, so there is nothing to keep (take it away: qm set ${vmId} --protection 0 && qm destroy ${vmId})`,
    );
  }
  if (problems.length > 0) throw new Error(`${subject}: ${problems.join("; ")}. Then run the restore again.`);
  const disks = aside?.mark.disks ?? left.map(({ disk }) => disk);
  const mark = { vmId, vmName: config["name"] ?? "", vmUuid: smbiosUuid(config) ?? "", disks };
  return { mark, config, left, aside };
}

/** Waits for what a run that was killed has asked Proxmox to do with the two VMs. How it ended, the look that follows shows. */
export async function awaitSteps(
  { client, signal }: Pick<ProviderContext, "client" | "signal">,
  inputs: LeaseInputs,
): Promise<void> {
  const { node, vmId, replace } = inputs;
  if (replace === undefined) return;
  const { asideVmId } = replace;
  for (const { upid, type, id } of await runningTasks(client, node)) {
    const isOurs = ["qmcreate", "qmdestroy"].includes(type) && [vmId, asideVmId].map(String).includes(id ?? "");
    const isMove = type === "qmmove" && new RegExp(`^${vmId}-\\w+>${asideVmId}-\\w+$`).test(id ?? "");
    if (!isOurs && !isMove) continue;
    await waitForTask(client, upid, { timeoutMs: stepTimeoutMs(inputs), signal }).catch((error: unknown) => {
      if (!(error instanceof PveTaskFailed)) throw error;
    });
  }
}

/** The VM that keeps disks of this VMID; undefined if there is none, or if something else has its VMID. */
export async function findAside(
  client: PveClient,
  { node, vmId, replace: { asideVmId } }: Pick<ReplacementArgs, "node" | "vmId" | "replace">,
): Promise<AsideVm | undefined> {
  const guest = await findGuest(client, asideVmId);
  if (guest?.type !== "qemu" || guest.node !== node) return undefined;
  const config = await vmConfig(client, node, asideVmId);
  const mark = parseAsideMark(config["description"]);
  if (mark?.vmId !== vmId || config["name"] !== asideName(mark.vmName)) return undefined;
  return { mark, disks: disksOf(config) };
}

function consentProblems({ until }: Replace): string[] {
  if (Date.parse(until) > Date.now()) return [];
  return [`the consent to it ended at ${until} (set homelab:restore.replace.until to a time that is soon)`];
}

/** Name and UUID together, as everywhere: a VMID may have been given to another VM meanwhile. */
function identityProblems(config: Config, { archiveConfig }: ReplacementArgs): string[] {
  const wanted = identityIn(archiveConfig);
  const uuid = smbiosUuid(config);
  if (wanted.name === undefined || wanted.uuid === undefined) {
    return ["the archive has no name or no UUID, so nothing shows that it is of this VM (take the VM away by hand)"];
  }
  const problems: string[] = [];
  if (config["name"] !== wanted.name || uuid !== wanted.uuid) {
    problems.push(
      `it is "${config["name"] ?? "without a name"}" with UUID ${uuid ?? "none"}, and the archive is of "${wanted.name}" with UUID ` +
        `${wanted.uuid} (if it is not needed, take it away by hand)`,
    );
  }
  const run = markOn(config)?.runId;
  if (run !== undefined) {
    problems.push(
      `it is the half of what run ${run} restored (without replace, npm run homelab -- restore removes it or goes on with it)`,
    );
  }
  return problems;
}

async function stateProblems(client: PveClient, { node, vmId }: ReplacementArgs, config: Config): Promise<string[]> {
  const [status, current, snapshots, replications] = await Promise.all([
    vmStatus(client, node, vmId),
    vmConfig(client, node, vmId, { current: true }),
    snapshotNames(client, node, vmId),
    replicationJobs(client, vmId),
  ]);
  const problems: string[] = [];
  if (status.status === "running") problems.push(`it runs (stop it: qm stop ${vmId})`);
  const lock = status.lock ?? config["lock"];
  if (lock !== undefined) {
    problems.push(`it is locked (${lock}; wait for the task that holds it, or run qm unlock ${vmId} if there is none)`);
  }
  if (config["template"] === "1") problems.push("it is a template (a template is never replaced)");
  if (status.ha?.managed === true) problems.push(`the HA manager keeps it running (ha-manager remove vm:${vmId})`);
  if (snapshots.length > 0) {
    const commands = snapshots.map((name) => `qm delsnapshot ${vmId} ${name}`).join("; ");
    problems.push(`its disks are held by the snapshots ${snapshots.join(", ")} (if nobody needs them: ${commands})`);
  }
  for (const id of replications) problems.push(`replication job ${id} copies its disks (pvesr delete ${id})`);
  const waiting = [...new Set([...Object.keys(config), ...Object.keys(current)])].filter(
    (key) => config[key] !== current[key],
  );
  if (waiting.length > 0) {
    problems.push(
      `changes of ${waiting.join(", ")} wait for its next start (qm pending ${vmId} shows them; take them back)`,
    );
  }
  return problems;
}

async function diskProblems(client: PveClient, { node, vmId }: ReplacementArgs, config: Config): Promise<string[]> {
  const problems = unmovable(config, vmId).map(
    ({ disk, volume }) =>
      `its disk ${disk} is ${volume}, which can't be kept aside ` +
      (disk.startsWith("unused") ? "(take the VM away by hand)" : `(take it out: qm set ${vmId} --delete ${disk})`),
  );
  const types = new Map((await nodeStorages(client, node)).map(({ storage, type }) => [storage, type]));
  for (const { disk, volume } of disksOf(config).filter(({ volume: text }) => isVolumeId(text))) {
    const type = types.get(parseVolumeId(volume).storage) ?? "";
    if (WITHOUT_RENAME.has(type)) {
      problems.push(
        `its disk ${disk} is on a storage of type ${type}, which can't give it to another VM (take the VM away by hand)`,
      );
    }
  }
  return problems;
}

/** Whether the VMID for the disks is free, of guests and of disks. */
async function asideIdProblems(
  client: PveClient,
  { node, vmId, replace: { asideVmId } }: ReplacementArgs,
): Promise<string[]> {
  const advice = "set homelab:restore.replace.asideVmId to a free one";
  if (asideVmId === vmId) return [`its disks can't be kept in itself (${advice})`];
  const guest = await findGuest(client, asideVmId);
  if (guest !== undefined || !(await isVmIdFree(client, asideVmId))) {
    const who =
      guest === undefined
        ? "a guest that the token can't see"
        : `${guest.type === "lxc" ? "container" : "VM"} "${guest.name ?? ""}" on ${guest.node}`;
    return [`VMID ${asideVmId}, which its disks are to be kept under, is taken by ${who} (${advice})`];
  }
  const { volumes } = await volumesOf(client, { node, vmId: asideVmId });
  if (volumes.length === 0) return [];
  return [
    `there are disks of VMID ${asideVmId}, which its disks are to be kept under: ${volumes.join(", ")} (${advice})`,
  ];
}

/** Whether the disks that are kept are of the VM that stands: each disk of the old VM is in exactly one of the two. */
function progressProblems(
  { vmId, replace: { asideVmId } }: ReplacementArgs,
  config: Config,
  { mark, disks }: AsideVm,
): string[] {
  if (mark.vmName !== config["name"] || mark.vmUuid !== smbiosUuid(config)) {
    return [
      `VM ${asideVmId} keeps the disks of another VM ${vmId}, which run ${mark.began} replaced (set homelab:restore.replace.asideVmId ` +
        `to a free one, or, if nobody needs them any more: qm set ${asideVmId} --protection 0 && qm destroy ${asideVmId})`,
    ];
  }
  const left = disksOf(config).map(({ disk }) => disk);
  const kept = disks.map(({ disk }) => disk);
  const apart = `with homelab:restore.replace.asideVmId set to a free VMID, all that VM ${vmId} has now is kept there`;
  if (left.length > 0 && mark.disks.every((key) => kept.includes(key))) {
    const all = `VM ${asideVmId} keeps all disks that VM ${vmId} had when run ${mark.began} replaced it`;
    return [`${all}, and VM ${vmId} has disks again: ${left.join(", ")} (${apart})`];
  }
  const lost = mark.disks.filter((key) => !left.includes(key) && !kept.includes(key)).join(", ");
  const double = left.filter((key) => kept.includes(key)).join(", ");
  const added = left.filter((key) => !mark.disks.includes(key) && !kept.includes(key)).join(", ");
  const problems: string[] = [];
  if (lost !== "") {
    problems.push(
      `${lost} is in neither VM ${vmId} nor VM ${asideVmId}, as when Proxmox is stopped while it renames a disk (find it: ` +
        `qm disk rescan --vmid ${asideVmId}; qm disk rescan --vmid ${vmId}; name the volume that is then unused ${lost} again, in ` +
        `/etc/pve/qemu-server/<vmid>.conf, with the options that the description of VM ${asideVmId} has)`,
    );
  }
  if (double !== "") {
    problems.push(
      `${double} is in VM ${vmId} and in VM ${asideVmId} (look: qm config ${vmId}; qm config ${asideVmId}; ${apart})`,
    );
  }
  if (added !== "") problems.push(`${added} came to VM ${vmId} since run ${mark.began} began to replace it (${apart})`);
  return problems;
}

/**
 * Proxmox renames a disk before it takes it out of the configuration that has it. Source: qemu-server `PVE::API2::Qemu`,
 * `move_vm_disk`. One move goes at a time, so that there is at most one such disk; what can't be seen is left to the move to tell.
 */
async function renameProblems(
  client: PveClient,
  { node, vmId, replace: { asideVmId } }: ReplacementArgs,
  config: Config,
  { mark, disks }: AsideVm,
): Promise<string[]> {
  if (mark.vmUuid !== smbiosUuid(config)) return [];
  const [there, kept] = await Promise.all([vmId, asideVmId].map((id) => volumesOf(client, { node, vmId: id })));
  if (there === undefined || kept === undefined || there.doubts.length + kept.doubts.length > 0) return [];
  const [renamed, ...more] = kept.volumes.filter((volume) => disks.every((known) => known.volume !== volume));
  const [gone, ...others] = disksOf(config).filter(({ volume }) => !there.volumes.includes(volume));
  if (renamed === undefined || gone === undefined || more.length > 0 || others.length > 0) return [];
  const { disk, volume } = gone;
  // A rename stays on its storage: what is elsewhere is another disk.
  if (!isVolumeId(volume) || parseVolumeId(volume).storage !== parseVolumeId(renamed).storage) return [];
  const from = `/etc/pve/qemu-server/${vmId}.conf`;
  return [
    `its disk ${disk} (${volume}) is not there, and ${renamed}, which VM ${asideVmId} does not name, is: Proxmox was stopped when it had ` +
      `renamed it (on ${node}: sed -n 's|^${disk}: ${volume}|${disk}: ${renamed}|p' ${from} >>/etc/pve/qemu-server/${asideVmId}.conf && ` +
      `sed -i '\\|^${disk}: ${volume}|d' ${from})`,
  ];
}
