/** What a replacement takes beside a restore: asked before anything is changed, because half of it would have to be gone on with. */
import { ownPrivileges } from "../pve/access/permissions";
import type { PveClient } from "../pve/client";
import { parseVolumeId } from "../pve/volume-id";
import type { RestoredVmInputs } from "./contract/restore";
import type { Replacement } from "./replacement";

/**
 * The new VM at the old VMID takes its rights from the pool, so that those on the broken VM, which go with it, are not missed.
 *
 * Source: qemu-server `PVE::API2::Qemu` `move_vm_disk`, `create_vm`, `destroy_vm`.
 *
 * @throws Error that names every right that is missing
 */
export async function requireRights(
  client: PveClient,
  { run: { node, vmId }, pool, replace }: Pick<RestoredVmInputs, "run" | "pool" | "replace">,
  { config, left, aside }: Replacement,
): Promise<void> {
  const aboutAside =
    aside === undefined || replace === undefined
      ? { path: `/pool/${pool}`, privileges: ["VM.Allocate", "VM.Config.Disk", "VM.Config.Options"] }
      : { path: `/vms/${replace.asideVmId}`, privileges: ["VM.Config.Disk"] };
  const options = config["protection"] === "1" ? ["VM.Config.Options"] : [];
  const storages = new Set(left.map(({ volume }) => parseVolumeId(volume).storage));
  const needs = [
    { path: `/vms/${vmId}`, privileges: ["VM.Allocate", "VM.Config.Disk", ...options] },
    aboutAside,
    ...[...storages].map((storage) => ({ path: `/storage/${storage}`, privileges: ["Datastore.AllocateSpace"] })),
  ];
  const missing: string[] = [];
  for (const { path, privileges } of needs) {
    const own = await ownPrivileges(client, path);
    missing.push(
      ...privileges.filter((privilege) => !own.has(privilege)).map((privilege) => `${privilege} on ${path}`),
    );
  }
  if (missing.length === 0) return;
  throw new Error(
    `Unable to replace VM ${vmId} on ${node}: the token lacks ${missing.join(", ")}. Nothing was changed. Run the script that ` +
      '"npm run homelab -- roles" prints, grant what it does not know by hand, and run the restore again.',
  );
}
