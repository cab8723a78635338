/** The Proxmox resources of prod for Terraform: what `components/docker-vm.ts` and `components/backup-plan.ts` declare. Pure. */
import type { ProdConfig } from "../stacks/config";

/** Terraform takes the provider from a folder instead of its registry, which also needs no `terraform init`. */
export function cliConfiguration(pluginFolder: string): string {
  return `provider_installation {\n  dev_overrides {\n    "bpg/proxmox" = ${JSON.stringify(pluginFolder)}\n  }\n  direct {}\n}\n`;
}

/**
 * `main.tf.json` with every resource, imported from what exists, but for the image: an import does not know its address, so a
 * second file is made.
 */
export function terraformProject(config: ProdConfig): string {
  const { node, dockerVm, backupStorage, backup } = config;
  const isDirectory = backup.storage.type === "directory";
  const imports = [
    { to: "proxmox_virtual_environment_vm.docker", id: `${node}/${dockerVm.vmId}` },
    { to: "proxmox_backup_job.homelab", id: "homelab" },
    ...(isDirectory ? [{ to: "proxmox_storage_directory.nas", id: backupStorage }] : []),
  ];
  const project = {
    terraform: { required_providers: { proxmox: { source: "bpg/proxmox" } } },
    import: imports,
    resource: {
      proxmox_download_file: { image: imageOf(config) },
      proxmox_virtual_environment_vm: { docker: machineOf(config) },
      proxmox_backup_job: { homelab: jobOf(config) },
      ...(backup.storage.type === "directory"
        ? {
            proxmox_storage_directory: {
              nas: { id: backupStorage, path: backup.storage.path, content: ["backup"], shared: true },
            },
          }
        : {}),
    },
  };
  return `${JSON.stringify(project, undefined, 2)}\n`;
}

function imageOf({ node, cloudImage }: ProdConfig): unknown {
  const [checksum_algorithm, checksum] = cloudImage.checksum?.split(":") ?? [];
  return {
    node_name: node,
    datastore_id: cloudImage.storage,
    content_type: "import",
    url: cloudImage.url,
    file_name: `terraform-${cloudImage.fileName}`,
    checksum,
    checksum_algorithm,
    overwrite: false,
  };
}

function machineOf({ node, dockerVm }: ProdConfig): unknown {
  const disks = [{ storage: dockerVm.storage, sizeGiB: dockerVm.diskGiB }, ...dockerVm.dataDisks];
  return {
    node_name: node,
    vm_id: dockerVm.vmId,
    name: dockerVm.name,
    description: "Docker VM of the homelab. Managed by Pulumi, stack prod.",
    tags: ["homelab"],
    on_boot: true,
    started: true,
    protection: true,
    stop_on_destroy: true,
    // An import changes how the provider treats the VM, which must not restart it.
    reboot_after_update: false,
    purge_on_destroy: false,
    delete_unreferenced_disks_on_destroy: false,
    operating_system: { type: "l26" },
    cpu: { cores: dockerVm.cores, sockets: 1, type: "x86-64-v2-AES" },
    memory: { dedicated: dockerVm.memoryMiB },
    agent: { enabled: true, trim: true, type: "virtio", wait_for_ip: { disabled: true } },
    scsi_hardware: "virtio-scsi-single",
    disk: disks.map(({ storage, sizeGiB }, index) => ({
      interface: `scsi${index}`,
      datastore_id: storage,
      size: sizeGiB,
      discard: "on",
      iothread: true,
    })),
    cdrom: { interface: "ide3", file_id: "none" },
    boot_order: ["scsi0"],
    network_device: [
      {
        ...{ bridge: dockerVm.bridge, model: "virtio", vlan_id: dockerVm.vlanId ?? null },
        // Terraform's JSON wants every attribute of this block; null is the default.
        ...{ disconnected: null, enabled: null, firewall: null, mac_address: null, mtu: null },
        ...{ queues: null, rate_limit: null, trunks: null },
      },
    ],
    serial_device: [{ device: "socket" }],
    initialization: {
      datastore_id: dockerVm.storage,
      ip_config: {
        ipv4: { address: dockerVm.address, gateway: dockerVm.gateway },
        ...(dockerVm.ipv6 === undefined ? {} : { ipv6: { ...dockerVm.ipv6 } }),
      },
      dns: { servers: dockerVm.nameservers },
      user_account: { username: dockerVm.user, keys: [dockerVm.sshAuthorizedKey] },
    },
    lifecycle: { ignore_changes: disks.map((_, index) => `disk[${index}].speed`) },
  };
}

function jobOf({ dockerVm, backupStorage, backup }: ProdConfig): unknown {
  const keep = { "keep-last": backup.keepLast, "keep-daily": backup.keepDaily, "keep-weekly": backup.keepWeekly };
  return {
    id: "homelab",
    enabled: true,
    schedule: backup.schedule,
    storage: backupStorage,
    vmid: [String(dockerVm.vmId)],
    mode: backup.mode,
    compress: "zstd",
    prune_backups: Object.fromEntries(
      Object.entries(keep).flatMap(([rule, count]) => (count > 0 ? [[rule, String(count)]] : [])),
    ),
    notes_template: backup.notesTemplate,
    repeat_missed: true,
  };
}
