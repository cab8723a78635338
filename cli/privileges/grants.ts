/** What each of the operator's two API tokens needs in Proxmox, from the stack files. Pure. */
import { type Privilege } from "../../pve/access/privileges";
import { type DrillConfig, type ProdConfig, type StackConfig } from "../../stacks/config";

/** One role on one path. */
export interface Grant {
  readonly path: string;
  /** Name of the role in Proxmox. */
  readonly role: string;
  readonly privileges: readonly Privilege[];
  /** Whether it reaches the paths below. */
  readonly propagate: boolean;
  /** What it is for, in a few words. */
  readonly purpose: string;
}

/** A user of Proxmox' own realm, without a password, whose one token is what a stack runs with. */
export interface Identity {
  /** Kind of the stacks that use its token. */
  readonly kind: "prod" | "drill";
  readonly user: string;
  readonly pools: readonly PoolNeed[];
  readonly grants: readonly Grant[];
}

/** A pool that rights are granted on, made where it is not there. */
export interface PoolNeed {
  readonly name: string;
  readonly comment: string;
  /** Where the stack files name the pool. */
  readonly key: string;
  /**
   * VM that is to be in it from the start, whether or not it exists: tags of a new VM take a right on the VM itself. Absent: VMs join
   * when they are made.
   */
  readonly vmId?: number;
}

/** What is known of a stack that brings production back in an emergency, which it does with production's token. */
export interface EmergencyStack extends Pick<ProdConfig, "node" | "dockerVm" | "backupStorage"> {
  readonly kind: "restore";
  /** Storage of the restored disks; absent: each disk's own. */
  readonly restore?: { readonly storage?: string };
}

/** Name of each user's token. */
export const TOKEN_NAME = "iac";

/** The users with all that they need, each path and role once. A kind without a stack has none. */
export function identitiesOf(stacks: Readonly<Record<string, StackConfig | EmergencyStack>>): Identity[] {
  const configs = Object.values(stacks);
  const hasEmergency = configs.some(({ kind }) => kind === "restore");
  const prod = configs.flatMap((config) => {
    if (config.kind === "prod") return prodGrants(config, hasEmergency);
    return config.kind === "restore" ? emergencyGrants(config) : [];
  });
  const drill = configs.flatMap((config) => (config.kind === "drill" ? drillGrants(config) : []));
  const pools = (kind: "prod" | "drill"): PoolNeed[] => {
    const needs = configs.flatMap((config) => (config.kind === kind ? [poolOf(config)] : []));
    return [...new Map(needs.map((need) => [need.name, need])).values()];
  };
  return [
    { kind: "prod" as const, user: "homelab-prod@pve", pools: pools("prod"), grants: distinct(prod) },
    { kind: "drill" as const, user: "homelab-drill@pve", pools: pools("drill"), grants: distinct(drill) },
  ].filter(({ grants }) => grants.length > 0);
}

function poolOf(config: ProdConfig | DrillConfig): PoolNeed {
  if (config.kind === "drill")
    return { name: config.drill.pool, comment: "VMs of restore drills", key: "homelab:drill.pool" };
  const { pool, vmId } = config.dockerVm;
  return { name: pool, comment: "The homelab's Docker VM", key: "homelab:dockerVm.pool", vmId };
}

/** @param hasEmergency Whether the same token also restores, and so has to read the archives of a VM that is gone. */
function prodGrants({ dockerVm, cloudImage, backup, backupStorage }: ProdConfig, hasEmergency: boolean): Grant[] {
  const { pool, bridge, vlanId, storage, dataDisks } = dockerVm;
  const network = vlanId === undefined ? bridge : `${bridge}/${vlanId}`;
  return [
    {
      ...{ path: "/", role: "HomelabProdCluster", propagate: false, purpose: "backup jobs, addresses of downloads" },
      privileges: ["Sys.Audit", "Sys.Modify"],
    },
    {
      ...{ path: `/pool/${pool}`, role: "HomelabProdPool", propagate: true },
      purpose: "the Docker VM, also one that takes the place of a lost one",
      privileges: [
        ...(["Pool.Audit", "VM.Allocate", "VM.Audit", "VM.PowerMgmt", "VM.GuestAgent.Unrestricted"] as const),
        ...(hasEmergency ? [] : (["VM.Backup"] as const)),
        ...(["VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk"] as const),
        ...(["VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"] as const),
      ],
    },
    ...[storage, ...dataDisks.map((disk) => disk.storage)].map((id): Grant => ({
      ...{ path: `/storage/${id}`, role: "HomelabProdDisks", propagate: true, purpose: "its disks" },
      privileges: ["Datastore.AllocateSpace", "Datastore.Audit"],
    })),
    {
      ...{ path: `/storage/${cloudImage.storage}`, role: "HomelabProdImages", propagate: true },
      purpose: "the cloud image",
      privileges: ["Datastore.AllocateTemplate", "Datastore.Audit"],
    },
    {
      ...{ path: `/storage/${backupStorage}`, role: "HomelabProdArchives", propagate: true },
      purpose: "its backups, which the job also removes",
      privileges: ["Datastore.Allocate", "Datastore.AllocateSpace"],
    },
    ...(backup.storage.type === "existing"
      ? []
      : [
          {
            ...{ path: "/storage", role: "HomelabProdStorages", propagate: false },
            purpose: "declaring the backup storage",
            privileges: ["Datastore.Allocate"],
          } satisfies Grant,
        ]),
    {
      ...{ path: `/sdn/zones/localnetwork/${network}`, role: "HomelabProdNetwork", propagate: true },
      purpose: "its network card",
      privileges: ["SDN.Use"],
    },
  ];
}

/** Beside what production has anyway. */
function emergencyGrants({ node, backupStorage, restore }: EmergencyStack): Grant[] {
  return [
    {
      ...{ path: "/vms", role: "HomelabRestoreArchives", propagate: true },
      purpose:
        "backups of the Docker VM, and reading them when it is gone; rights on its own path or in a pool go with it",
      privileges: ["VM.Backup"],
    },
    {
      ...{
        path: `/nodes/${node}`,
        role: "HomelabRestoreNode",
        propagate: true,
        purpose: "the node's memory and clock",
      },
      privileges: ["Sys.Audit"],
    },
    ...["/storage", `/storage/${backupStorage}`].map((path): Grant => ({
      ...{ path, role: "HomelabRestoreStorages", propagate: true },
      purpose: "seeing disks that have the lost VM's number",
      privileges: ["Datastore.Audit"],
    })),
    ...(restore?.storage === undefined
      ? []
      : [
          {
            ...{ path: `/storage/${restore.storage}`, role: "HomelabProdDisks", propagate: true },
            purpose: "the restored disks",
            privileges: ["Datastore.AllocateSpace", "Datastore.Audit"],
          } satisfies Grant,
        ]),
  ];
}

function drillGrants({ node, backupStorage, drill }: DrillConfig): Grant[] {
  return [
    {
      ...{ path: "/", role: "HomelabDrillCluster", propagate: false },
      purpose: "seeing that no backup job takes the restored VM",
      privileges: ["Sys.Audit"],
    },
    {
      ...{ path: `/nodes/${node}`, role: "HomelabDrillNode", propagate: true, purpose: "the node's memory and clock" },
      privileges: ["Sys.Audit"],
    },
    {
      ...{ path: "/vms", role: "HomelabDrillGuests", propagate: true },
      purpose:
        "seeing whose cards are on the isolated bridge, and reading the Docker VM's archives also when it is gone; " +
        "Proxmox has no smaller right for that",
      privileges: ["VM.Audit", "VM.Backup"],
    },
    {
      ...{ path: `/pool/${drill.pool}`, role: "HomelabDrillPool", propagate: true, purpose: "the restored VM" },
      privileges: [
        ...(["Pool.Audit", "VM.Allocate", "VM.PowerMgmt", "VM.GuestAgent.Unrestricted"] as const),
        ...(["VM.Config.CPU", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory"] as const),
        ...(["VM.Config.Network", "VM.Config.Options"] as const),
      ],
    },
    {
      ...{ path: "/storage", role: "HomelabDrillStorages", propagate: true },
      purpose: "seeing disks that have the restored VM's number",
      privileges: ["Datastore.Audit"],
    },
    ...[backupStorage, drill.storage].map((id): Grant => ({
      ...{ path: `/storage/${id}`, role: "HomelabDrillSpace", propagate: true },
      purpose: id === backupStorage ? "the archives" : "the restored disks",
      privileges: ["Datastore.AllocateSpace", "Datastore.Audit"],
    })),
    {
      ...{ path: "/sdn/zones/localnetwork", role: "HomelabDrillNetworks", propagate: true },
      purpose: "seeing what is above the isolated bridge",
      privileges: ["SDN.Audit"],
    },
    {
      ...{ path: `/sdn/zones/localnetwork/${drill.isolatedBridge}`, role: "HomelabDrillBridge", propagate: true },
      purpose: "the isolated bridge",
      privileges: ["SDN.Use"],
    },
  ];
}

/** A storage may hold several things, and several drill stacks share most of what they need. */
function distinct(grants: readonly Grant[]): Grant[] {
  return grants.filter(
    ({ path, role }, index) => grants.findIndex((other) => other.path === path && other.role === role) === index,
  );
}
