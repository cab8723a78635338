/**
 * Every version that the project pins outside package.json, in one place. The versions of the plugins are those of their
 * npm packages; `test/toolchain/parity.test.ts` compares the two.
 */

/** The Pulumi CLI. A `pulumi` on PATH of this version or a newer one of the same major version is used as it is. */
export const PULUMI_VERSION = "3.259.0";

/** A resource plugin that the stacks need: name and version as in the npm package's `pulumi` section. */
export interface PluginPin {
  /** Package name, the first part of every resource token. */
  name: string;
  /** Version of the npm package and of the vendor's plugin. */
  version: string;
  /** npm package whose types the stacks compile against. */
  npm: string;
  /** Where `pulumi plugin install` downloads it; absent: the vendor's default site. */
  server?: string;
}

/** The resource plugins, in the order in which they are installed. */
export const PLUGINS = [
  {
    name: "proxmoxve",
    version: "8.6.0",
    npm: "@muhlba91/pulumi-proxmoxve",
    server: "github://api.github.com/muhlba91/pulumi-proxmoxve",
  },
  { name: "docker", version: "5.2.0", npm: "@pulumi/docker" },
  { name: "cloudflare", version: "6.22.1", npm: "@pulumi/cloudflare" },
] as const satisfies readonly PluginPin[];

/** Name of a plugin of {@link PLUGINS}. */
export type PluginName = (typeof PLUGINS)[number]["name"];

/** A program that is built from its published Go modules where the vendor's downloads can't be reached. */
export interface GoProgram {
  /** Name of the executable and of its folder below `toolchain/go/`, which holds its go.mod and go.sum. */
  name: string;
  /** What `go build` compiles: a package of a required module, or "." for the folder's own main package. */
  package: string;
  /** Variable that the linker sets to the version, and its value. */
  version?: { variable: string; value: string };
  /** Go build tags. */
  tags?: string[];
  /** True: `./tfgen` is compiled and run first; it writes the schema and the metadata that the program embeds. */
  bridge?: boolean;
  /** Rough duration of a build without caches on 2 cores, in seconds; only shown in progress lines. */
  coldSeconds: number;
}

/** The Go programs by name. Their modules' versions stand in the go.mod files beside. */
export const GO_PROGRAMS = {
  pulumi: {
    name: "pulumi",
    package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    version: { variable: "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", value: `v${PULUMI_VERSION}` },
    coldSeconds: 270,
  },
  "pulumi-language-nodejs": {
    name: "pulumi-language-nodejs",
    package: "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
    coldSeconds: 50,
  },
  "pulumi-resource-proxmoxve": {
    name: "pulumi-resource-proxmoxve",
    package: ".",
    version: { variable: "homelab.local/toolchain/pulumi-resource-proxmoxve/bridge.Version", value: "8.6.0" },
    bridge: true,
    coldSeconds: 210,
  },
  "pulumi-resource-docker": {
    name: "pulumi-resource-docker",
    package: ".",
    version: { variable: "homelab.local/toolchain/pulumi-resource-docker/bridge.Version", value: "5.2.0" },
    // Without docker_compose, a Plugin Framework resource that Pulumi's package doesn't have: half of the modules less.
    tags: ["no_compose"],
    bridge: true,
    coldSeconds: 180,
  },
} as const satisfies Record<string, GoProgram>;

/** The provider that the bench gives Terraform: the code that `pulumi-resource-proxmoxve` bridges, in the same version. */
export const TERRAFORM_PROVIDER: GoProgram = {
  name: "terraform-provider-proxmox",
  package: "github.com/bpg/terraform-provider-proxmox",
  coldSeconds: 60,
};

/**
 * Modules that the public checksum database doesn't know (it answers 404). They are pinned by the committed go.sum alone.
 * Format of GONOSUMDB.
 */
export const GO_MODULES_WITHOUT_SUMDB = "github.com/bpg/terraform-provider-proxmox,github.com/kreuzwerker/*";

/** A Debian package that the lab or the toolchain calls, and what for. */
export interface DebianPackage {
  name: string;
  /** Shown when it is missing and can't be installed. */
  why: string;
}

/** Debian packages that the lab needs. No Docker: the Docker provider speaks to the guest's engine through ssh. */
export const DEBIAN_PACKAGES: readonly DebianPackage[] = [
  { name: "qemu-system-x86", why: "runs the virtual machines" },
  { name: "ovmf", why: "UEFI firmware of virtual machines that have it" },
  { name: "swtpm", why: "TPM of virtual machines that have one" },
  { name: "qemu-utils", why: "makes and converts disks (qemu-img)" },
  { name: "mmdebstrap", why: "builds the guest's root file system" },
  { name: "fdisk", why: "partitions the guest's disk (sfdisk)" },
  { name: "e2fsprogs", why: "makes the guest's ext4 file system (mke2fs -d)" },
  { name: "dosfstools", why: "makes the guest's boot partition (mkfs.vfat)" },
  { name: "mtools", why: "copies kernel and initrd into the boot partition" },
  { name: "syslinux", why: "boot loader of the guest's disk" },
  { name: "syslinux-common", why: "master boot record of the guest's disk" },
  { name: "genisoimage", why: "makes the cloud-init drive" },
  { name: "zstd", why: "compresses and reads backup archives" },
  { name: "lzop", why: "reads .vma.lzo archives" },
  { name: "openssh-client", why: "the Docker provider's way to the guest's engine" },
  { name: "iproute2", why: "network namespaces, bridges and taps (ip)" },
  { name: "openssl", why: "throw-away certificates of the tests" },
  { name: "ca-certificates", why: "trust store of downloads" },
  { name: "util-linux", why: "locks (flock) and namespaces (nsenter, unshare)" },
];
