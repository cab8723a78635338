/** Handing a disk from one guest to another (PVE::API2::Qemu `move_vm_disk` with `target-vmid`): the volume is renamed, not copied. */
import { isCloudInitDrive } from "../../pve/vm-config";
import { parsePropertyString, printPropertyString } from "../../pve/property-string";
import { parseVolumeId } from "../../pve/volume-id";
import { type Lab } from "../context";
import { notEmulated } from "../errors";
import { type GuestConfig } from "../guests";
import { type TaskContext, type VmConfig } from "../types";
import { without } from "../without";
import { refersTo } from "./config-change";
import { isEmpty, printDrive, storedDrive } from "./drive";

/** A disk on its way from one guest to another. */
export interface Reassignment {
  readonly vmId: number;
  readonly disk: string;
  readonly targetVmId: number;
  readonly targetDisk: string;
  /** SHA-1 of the configurations that the caller has seen. */
  readonly digest?: string;
  readonly targetDigest?: string;
}

const UNUSED = /^unused\d+$/;

/**
 * Everything that PVE checks, once before the task and once more in it. Gives the volume. Source:
 * `$load_and_check_reassign_configs`. Neither guest's protection flag is looked at.
 *
 * @throws Error with PVE's text
 */
export function checkReassignment(lab: Lab, reassignment: Reassignment): string {
  const { vmId, disk, targetVmId, targetDisk, digest, targetDigest } = reassignment;
  if (!lab.guests.exists(vmId)) throw new Error(`could not find VM ${vmId}`);
  if (!lab.guests.exists(targetVmId)) throw new Error(`could not find target VM ${targetVmId}`);
  const source = lab.guests.read(vmId);
  lab.guests.checkLock(vmId);
  const target = lab.guests.read(targetVmId);
  lab.guests.checkLock(targetVmId);
  if (source.current["template"] === "1" || target.current["template"] === "1")
    throw new Error("Can't move disks from or to template VMs");
  requireDigest(vmId, source, digest);
  requireDigest(targetVmId, target, targetDigest);
  const value = source.current[disk];
  if (value === undefined) throw new Error(`Disk '${disk}' for VM '${vmId}' does not exist`);
  if (target.current[targetDisk] !== undefined)
    throw new Error(`Target disk key '${targetDisk}' is already in use for VM '${targetVmId}'`);
  const { file, options } = storedDrive(value);
  if (isEmpty(file)) throw new Error(`disk '${disk}' has no associated volume`);
  if (options["media"] === "cdrom" && !isCloudInitDrive(value))
    throw new Error("CD drive contents can't be moved to another VM");
  if (file.startsWith("/")) throw new Error(`Volume '${file}' not managed by PVE`);
  const others = without(source.current, disk);
  if (refersTo(others, file) || lab.guests.snapshots(vmId).some(({ config }) => refersTo(config, file)))
    throw new Error("Can't move disk used by a snapshot to another VM");
  if (lab.machines.status(vmId).status === "running" && !UNUSED.test(disk))
    throw new Error("Cannot move disk to another VM while the source VM is running - detach first");
  if (lab.machines.status(targetVmId).status === "running" && !UNUSED.test(targetDisk))
    throw notEmulated("plugging a moved disk into a running guest");
  return file;
}

function requireDigest(vmId: number, config: GuestConfig, digest: string | undefined): void {
  if (digest === undefined || digest === config.digest) return;
  throw new Error(`VM ${vmId}: detected modified configuration - file changed by other user? Try again.`);
}

/** Work of a `qmmove` task. */
export async function reassignDisk(lab: Lab, reassignment: Reassignment, { log }: TaskContext): Promise<void> {
  const { vmId, disk, targetVmId, targetDisk } = reassignment;
  await lab.guests.exclusively(vmId, () =>
    lab.guests.exclusively(targetVmId, async () => {
      const volume = checkReassignment(lab, reassignment);
      log(`reassign disk '${disk}' from VM '${vmId}' as '${targetDisk}' to VM '${targetVmId}'`);
      const renamed = await lab.volumes.rename(volume, targetVmId);
      const source = lab.guests.read(vmId);
      const { options } = storedDrive(source.current[disk] ?? "");
      const left = without(source.current, disk);
      const boot = withoutBootDevice(left, disk);
      if (boot !== undefined) log(`removing disk '${disk}' from boot order config`);
      log(`removing disk '${disk}' from VM '${vmId}' config`);
      lab.guests.write(vmId, { ...source, current: boot === undefined ? left : { ...left, boot } });
      const target = lab.guests.read(targetVmId);
      const drive = UNUSED.test(targetDisk) ? renamed : printDrive({ file: renamed, options });
      lab.guests.write(targetVmId, { ...target, current: { ...target.current, [targetDisk]: drive } });
    }),
  );
}

/** The boot order without a disk; undefined where the disk is not in it. */
function withoutBootDevice({ boot = "" }: VmConfig, disk: string): string | undefined {
  const order = (parsePropertyString(boot, "legacy")["order"] ?? "").split(";");
  if (!order.includes(disk)) return undefined;
  return printPropertyString({ order: order.filter((key) => key !== disk).join(";") });
}

/** Storage of a volume. */
export function storageOf(volume: string): string {
  return parseVolumeId(volume).storage;
}
