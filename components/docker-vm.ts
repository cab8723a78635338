import * as proxmoxve from "@muhlba91/pulumi-proxmoxve";
import * as pulumi from "@pulumi/pulumi";

export interface DockerVmArgs {
  /** Proxmox node that runs the VM. */
  node: pulumi.Input<string>;
  vmId: pulumi.Input<number>;
  /** Proxmox name and host name of the guest. */
  hostName: pulumi.Input<string>;
  /** Pool that the VM is made in. Has no effect on a VM that exists. */
  pool: pulumi.Input<string>;
  /** Bridge or VNet of the one card. */
  bridge: pulumi.Input<string>;
  /** VLAN tag; absent: untagged. */
  vlanId?: pulumi.Input<number>;
  /** Static IPv4 address with prefix. */
  address: pulumi.Input<string>;
  gateway: pulumi.Input<string>;
  /** Static IPv6 address with prefix beside it; absent: none. */
  ipv6?: { readonly address: string; readonly gateway: string };
  nameservers: pulumi.Input<pulumi.Input<string>[]>;
  /** Storage of the disk and of the cloud-init drive. */
  storage: pulumi.Input<string>;
  cores: pulumi.Input<number>;
  memoryMiB: pulumi.Input<number>;
  diskGiB: pulumi.Input<number>;
  /** More disks, `scsi1` and so on, empty when they are made. */
  dataDisks?: readonly { readonly storage: string; readonly sizeGiB: number }[];
  /** User that cloud-init makes. */
  user: pulumi.Input<string>;
  /** OpenSSH public key line of that user; not secret. */
  sshAuthorizedKey: pulumi.Input<string>;
  /** Image that the disk starts from. Has no effect on a VM that exists. */
  cloudImage: CloudImageArgs;
}

/** A disk image on the web that Proxmox downloads itself. */
export interface CloudImageArgs {
  url: pulumi.Input<string>;
  /** `<algorithm>:<hex>`; absent: the download is not verified. */
  checksum?: string;
  fileName: pulumi.Input<string>;
  /** Storage with content type `import`. */
  storage: pulumi.Input<string>;
}

const TOKEN = "homelab:components:DockerVm";

/**
 * The one machine that runs every service. VM and disk are protected: nothing that Pulumi decides on its own may delete
 * or replace them (docs/adr/002-vm-legacy-and-import-from.md says why it is this resource class).
 */
export class DockerVm extends pulumi.ComponentResource {
  /** VMID, known once the VM exists. */
  readonly vmId: pulumi.Output<number>;
  /** Differs between a VM and the one that replaces it: the MAC address that Proxmox drew. */
  readonly generation: pulumi.Output<string>;
  /** For `dependsOn`: done when the VM has been started. */
  readonly vm: proxmoxve.VmLegacy;

  constructor(name: string, args: DockerVmArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const extra = (args.dataDisks ?? []).map((_, index) => index + 1);
    const image = createImage(`${name}-image`, args, { parent: this });
    this.vm = new proxmoxve.VmLegacy(name, vmArgs(args, image), {
      parent: this,
      protect: true,
      // The image is where the disk once started from: another one would mean another VM, without its data. The provider
      // plans default speed limits that it never reads back (bpg v0.111, disk.go), a change in every refreshed preview.
      // Where a VM that exists belongs is up to who put it there: moving it would take more rights than the token has.
      ignoreChanges: ["poolId", "disks[0].importFrom", ...[0, ...extra].map((index) => `disks[${index}].speed`)],
    });
    this.vmId = this.vm.vmId;
    this.generation = this.vm.networkDevices.apply((devices) => devices[0]?.macAddress ?? "");
    this.registerOutputs({ vmId: this.vmId, generation: this.generation });
  }
}

function createImage(name: string, args: DockerVmArgs, opts: pulumi.CustomResourceOptions): proxmoxve.download.File {
  const { url, checksum, fileName, storage } = args.cloudImage;
  const [checksumAlgorithm, digest] = checksum?.split(":") ?? [];
  return new proxmoxve.download.File(
    name,
    {
      nodeName: args.node,
      datastoreId: storage,
      contentType: "import",
      url,
      fileName,
      checksum: digest,
      checksumAlgorithm,
      // A rebuilt image behind the same address must neither be fetched again nor show as a change.
      overwrite: false,
    },
    opts,
  );
}

function vmArgs(args: DockerVmArgs, image: proxmoxve.download.File): proxmoxve.VmLegacyArgs {
  return {
    nodeName: args.node,
    vmId: args.vmId,
    name: args.hostName,
    poolId: args.pool,
    description: "Docker VM of the homelab. Managed by Pulumi, stack prod.",
    tags: ["homelab"],
    onBoot: true,
    started: true,
    // Reading this VM's archives takes VM.Backup on it, and that also allows to overwrite the VM by a restore: a drill's token
    // has it. Proxmox refuses both a restore over a protected VM and its removal; a restored copy overrides the flag.
    protection: true,
    // Whoever lifts the protection wants it gone; a guest that does not answer must not hold that up for half an hour.
    stopOnDestroy: true,
    purgeOnDestroy: false,
    deleteUnreferencedDisksOnDestroy: false,
    operatingSystem: { type: "l26" },
    cpu: { cores: args.cores, sockets: 1, type: "x86-64-v2-AES" },
    memory: { dedicated: args.memoryMiB },
    // Stock cloud images lack the agent; without `disabled` each read would wait 15 minutes for it.
    agent: { enabled: true, trim: true, type: "virtio", waitForIp: { disabled: true } },
    scsiHardware: "virtio-scsi-single",
    disks: [
      {
        interface: "scsi0",
        datastoreId: args.storage,
        importFrom: image.id,
        size: args.diskGiB,
        discard: "on",
        iothread: true,
      },
      ...(args.dataDisks ?? []).map(({ storage, sizeGiB }, index) => ({
        interface: `scsi${index + 1}`,
        datastoreId: storage,
        size: sizeGiB,
        discard: "on",
        iothread: true,
      })),
    ],
    // Without a block the provider passes the node's own CD-ROM drive through, which Proxmox allows with Sys.Console on / only.
    cdrom: { fileId: "none" },
    bootOrders: ["scsi0"],
    networkDevices: [
      { bridge: args.bridge, model: "virtio", ...(args.vlanId === undefined ? {} : { vlanId: args.vlanId }) },
    ],
    // Debian's cloud kernel writes its console to the first serial port.
    serialDevices: [{ device: "socket" }],
    initialization: {
      datastoreId: args.storage,
      ipConfigs: [
        {
          ipv4: { address: args.address, gateway: args.gateway },
          ...(args.ipv6 === undefined ? {} : { ipv6: { ...args.ipv6 } }),
        },
      ],
      dns: { servers: args.nameservers },
      userAccount: { username: args.user, keys: [args.sshAuthorizedKey] },
    },
  };
}
