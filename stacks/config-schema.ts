/** What the keys of `Pulumi.yaml` and `Pulumi.<stack>.yaml` may contain. */
import { z } from "zod";
import { removalLimitsSchema } from "../provider/contract/run";
import { matching, nonEmpty } from "../services/checks/text-schema";
import { endpointText } from "./endpoint-schema";

/** The defaults, which also hold for states without the values. */
const removal = removalLimitsSchema.parse({});
const seconds = z.int("a number of seconds above 0").positive("a number of seconds above 0");
const minutes = z.int("a number of minutes above 0").positive("a number of minutes above 0");
const VMID = "a VMID from 100 to 999999999";
const vmId = z.int(VMID).min(100, VMID).max(999_999_999, VMID);
const pveId = matching(/^[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]$/, "a Proxmox id such as local-lvm");
/** Source: pve-access-control `pve-poolid`. */
const poolId = matching(/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+){0,2}$/, "a pool name such as homelab-prod");
/** Pools of those who name none. */
export const DEFAULT_POOLS = { production: "homelab-prod", drill: "homelab-drill" } as const;
const VLAN = "a VLAN tag from 1 to 4094";
const bridge = matching(/^[a-zA-Z][a-zA-Z0-9_]{1,9}$/, "a bridge or VNet name such as vmbr0");
const dnsLabel = matching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a lower-case DNS label such as docker");
const domain = matching(
  /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/,
  "a domain such as example.net",
);
const cidr = z.cidrv4("an IPv4 address with prefix, such as 192.168.20.200/24");
const filePath = nonEmpty("a path");
const cores = whole("cores", 1, 512);
const memoryMiB = whole("MiB", 512, 16 * 1024 ** 2);

/** A whole number whose accepted form says its limits. */
function whole(unit: string, least: number, most: number): z.ZodInt {
  const form = `a whole number of ${unit} from ${least} to ${most}`;
  return z.int(form).min(least, form).max(most, form);
}

/** One spelling (RFC 5952), because what a server gives back is compared as text. With or without a prefix. */
function canonicalIpv6(text: string): string {
  const [address = "", prefix] = text.split("/");
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  return prefix === undefined ? canonical : `${canonical}/${prefix}`;
}

/** The Docker VM: the same machine in every stack. What must hold between values stands in `config-relations.ts`. */
export const dockerVmSchema = z.strictObject({
  vmId,
  /** Proxmox name and host name of the guest. */
  name: dnsLabel,
  /**
   * Pool that the VM is in, on which `homelab roles` grants the rights of production's token: rights on the VM itself would go with
   * a lost VM. A VM is in one pool only; name yours if it is in one already. Every VM in it is in reach of that token.
   */
  pool: poolId.default(DEFAULT_POOLS.production),
  bridge,
  /** VLAN tag of the card; absent: untagged. */
  vlanId: z.int(VLAN).min(1, VLAN).max(4094, VLAN).optional(),
  /** Static address of the guest with prefix. */
  address: cidr,
  gateway: z.ipv4("an IPv4 address such as 192.168.20.1"),
  /** Static IPv6 address beside the IPv4 one. Names of the LAN then get AAAA records too. */
  ipv6: z
    .strictObject({
      address: z.cidrv6("an IPv6 address with prefix, such as fd00:20::200/64").transform(canonicalIpv6),
      gateway: z.ipv6("an IPv6 address such as fd00:20::1").transform(canonicalIpv6),
    })
    .optional(),
  nameservers: z
    .array(z.ipv4("an IPv4 address such as 9.9.9.9"), "a list of IPv4 addresses")
    .min(1, "at least one IPv4 address"),
  /** Storage of the disk and of the cloud-init drive. */
  storage: pveId,
  cores,
  memoryMiB,
  diskGiB: whole("GiB", 2, 128 * 1024),
  /** More disks, empty when they are made; what is on them is the guest's business. Backed up and restored with the VM. */
  dataDisks: z.array(z.strictObject({ storage: pveId, sizeGiB: whole("GiB", 1, 128 * 1024) })).default([]),
  /** User that cloud-init makes; may use sudo and Docker. */
  user: matching(/^[a-z_][a-z0-9_-]{0,31}$/, "a Linux user name"),
  /** Public key line; not secret. */
  sshAuthorizedKey: matching(
    /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-ssh-ed25519@openssh\.com) [A-Za-z0-9+/=]+( .*)?$/,
    "one line of an OpenSSH public key file, such as ssh-ed25519 AAAA… you@desk",
  ),
  /** Path of the private key file; `~` is the operator's home. The key itself is never read into state. */
  sshPrivateKeyFile: filePath,
});

/** Where this project keeps files. Relative paths start at the project folder; `~` is the operator's home. */
export const filesSchema = z.strictObject({
  /** Evidence of drills, one folder a run. */
  evidence: filePath,
  /** Public certificates that prod records and drills verify against. */
  trust: filePath,
  /** Host key of the Docker VM, written by prod. */
  knownHosts: filePath,
  /** Digests of the images, written by `homelab lock`. */
  imagesLock: filePath.default("images.lock.json"),
});

const backupStorageSource = z.discriminatedUnion(
  "type",
  [
    /** A folder of the node, such as a mount that the node's fstab makes. */
    z.strictObject({ type: z.literal("directory"), path: matching(/^\/.+[^/]$/, "an absolute path") }),
    /** An NFS export that Proxmox mounts itself. */
    z.strictObject({
      type: z.literal("nfs"),
      server: nonEmpty("a host name or address"),
      export: matching(/^\/.+/, "an absolute path"),
      options: z.string().min(1).optional(),
    }),
    /** Made by hand; only the job is declared. */
    z.strictObject({ type: z.literal("existing") }),
  ],
  { error: "directory, nfs or existing" },
);

const keep = z.int("a whole number from 0").min(0, "a whole number from 0");

export const backupSchema = z
  .strictObject({
    storage: backupStorageSource,
    /** systemd calendar event, in the node's time zone. */
    schedule: nonEmpty("a calendar event such as 02:00 or mon..fri 02:00"),
    mode: z.enum(["snapshot", "suspend", "stop"]),
    keepLast: keep,
    keepDaily: keep,
    keepWeekly: keep,
    /** Proxmox template; the first line stands in a drill's evidence. */
    notesTemplate: nonEmpty("a text such as {{guestname}}"),
  })
  .refine(({ keepLast, keepDaily, keepWeekly }) => keepLast + keepDaily + keepWeekly > 0, {
    error: "keepLast, keepDaily and keepWeekly are all 0, so every backup would go. Keep at least one.",
  });

export const cloudImageSchema = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: "an http or https address of a .qcow2 or .raw image" }),
  /** `<algorithm>:<hex>`; absent: the download is not verified. */
  checksum: matching(
    /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/,
    "sha256:<64 hex digits> or sha512:<128 hex digits>",
  ).optional(),
  /** Name on the storage; must end in what Proxmox accepts for the content type `import`. */
  fileName: matching(/^[\w.-]+\.(qcow2|raw|vmdk)$/, "a file name that ends in .qcow2, .raw or .vmdk"),
  /** Storage with content type `import`. */
  storage: pveId,
});

export const dnsSchema = z.strictObject({
  /** Cloudflare's id of the zone. */
  zoneId: matching(/^[0-9a-f]{32}$/, "32 hex digits, shown on the zone's overview page"),
  /** Address that public routes point to; needed as soon as there is one. */
  publicAddress: z.ipv4("an IPv4 address").optional(),
});

export const readinessSchema = z.strictObject({
  /** Debian packages that the Docker VM needs; missing ones are installed. */
  packages: z.array(matching(/^[a-z0-9][a-z0-9+.-]+$/, "a Debian package name"), "a list of Debian package names"),
  /** From the VM's start until SSH, cloud-init and the Docker engine answer. */
  timeoutSeconds: seconds,
  /** Until a new container is healthy. */
  containerTimeoutSeconds: seconds,
});

const CHOICES =
  "{choose: latest}, {choose: random, withinDays: …}, {choose: before, time: …} or {choose: named, archive: …}";

const restorePointSchema = z.discriminatedUnion(
  "choose",
  [
    z.strictObject({ choose: z.literal("latest") }),
    /** Any one of the last days, the same all day: old archives rot too. */
    z.strictObject({ choose: z.literal("random"), withinDays: whole("days", 1, 36_500) }),
    /** The newest that is not later. In quotes, or YAML makes a date of it. */
    z.strictObject({
      choose: z.literal("before"),
      time: z.iso.datetime({ offset: true, error: 'a time with zone in quotes, such as "2026-11-20T02:00:00+01:00"' }),
    }),
    z.strictObject({
      choose: z.literal("named"),
      archive: matching(
        /^[^:\s]+:backup\/vzdump-qemu-\S+$/,
        "a volume id such as nas:backup/vzdump-qemu-200-….vma.zst",
      ),
    }),
  ],
  {
    error: ({ input }) => (typeof input === "object" && input !== null ? "latest, random, before or named" : CHOICES),
  },
);

export const drillSchema = z.strictObject({
  /**
   * `catalogue`: the checks of `services/`. `generic`: for a VM that this project has not made; it boots, the agent answers,
   * the containers that ran at backup time run again.
   */
  profile: z.enum(["catalogue", "generic"], { error: "catalogue or generic" }).default("catalogue"),
  vmId,
  name: dnsLabel,
  /** Pool that the restored VM joins, on which `homelab roles` grants the rights of the drill's token. Nothing else should be in it. */
  pool: poolId.default(DEFAULT_POOLS.drill),
  /** Bridge without port and address that all cards of the restored VM are moved to. */
  isolatedBridge: bridge,
  /** Storage of the restored disks. */
  storage: pveId,
  /** Absent: as in the archive. */
  memoryMiB: memoryMiB.optional(),
  /** Absent: as in the archive. */
  cores: cores.optional(),
  /** Absent: the storage's own limit. */
  bandwidthLimitKiBps: whole("KiB/s", 1, 2 ** 40).optional(),
  /**
   * Addresses and TCP ports beyond the homelab that answer production's VM and must not answer the restored one. Absent: a
   * well-known one of each IP version that the VM has.
   */
  outside: z.array(endpointText, "a list of addresses with port").min(1, "at least one address with port").optional(),
  /** Which archive is restored; absent: the newest. */
  restorePoint: restorePointSchema.default({ choose: "latest" }),
  /** From the start until `homelab sweep` may remove a VM that still stands. */
  expiresAfterHours: whole("hours", 1, 8760).default(24),
  /** The form of older versions. */
  archive: z.never("restorePoint: {choose: named, archive: <volume id>} in its place").optional(),
});

export const restoreSchema = z.strictObject({
  /** What is checked; as in a drill. */
  profile: z.enum(["catalogue", "generic"], { error: "catalogue or generic" }).default("catalogue"),
  /** Storage of the restored disks. Absent: each disk on the storage that it was on. */
  storage: pveId.optional(),
  /** Absent: the storage's own limit. */
  bandwidthLimitKiBps: whole("KiB/s", 1, 2 ** 40).optional(),
  /** Which archive is restored; absent: the newest. */
  restorePoint: restorePointSchema.default({ choose: "latest" }),
  /** When the outage began, from which RPO and downtime count. In quotes, or YAML makes a date of it. Absent: not stated. */
  outageAt: z.iso
    .datetime({ offset: true, error: 'a time with zone in quotes, such as "2026-11-20T02:00:00+01:00"' })
    .optional(),
  /** Consent to replace a broken VM that still stands, stopped. Absent or expired: a VM that stands is left alone. */
  replace: z
    .strictObject({
      /** At most 7 days ahead. In quotes, or YAML makes a date of it. */
      until: z.iso.datetime({ offset: true, error: 'a time with zone in quotes, such as "2026-11-20T02:00:00+01:00"' }),
      reason: nonEmpty("one sentence that says why"),
      /** Free VMID of the VM that keeps the old disks until a person removes it. */
      asideVmId: vmId,
    })
    .optional(),
});

export const targetsSchema = z.strictObject({
  /** Longest accepted time from the start of a drill to the last check. */
  rtoMinutes: minutes,
  /** Longest accepted loss of data. */
  rpoMinutes: minutes,
});

export const timeoutsSchema = z.strictObject({
  restoreSeconds: seconds,
  startSeconds: seconds,
  agentSeconds: seconds,
  /** Until a drill's guest has its network up; then it is probed for ways out as it is. Cut short when it has booted and can send. */
  networkSeconds: seconds.default(90),
  /** Each check is tried until it passes or this time is over. */
  checkSeconds: seconds,
  /** How far a canary stamp may lie after the archive's time and still count. */
  canarySkewSeconds: z.int("a number of seconds from 0").nonnegative("a number of seconds from 0"),
  /** Ending a VM, or the task that makes it. */
  stopSeconds: seconds.default(removal.stopTimeoutSeconds),
  /** Removing a VM with its disks. */
  removeSeconds: seconds.default(removal.removeTimeoutSeconds),
});

/**
 * What the operator allows for a while, although it loses something. An expired consent allows nothing and may stay for the
 * record.
 */
export const consentSchema = z
  .array(
    z.strictObject({
      /**
       * `replace` and `delete`: the resource's protection is lifted, so the next update may do either. `create`, of docker-vm:
       * an empty VM is made although there are archives of a lost one.
       */
      action: z.enum(["replace", "delete", "create"], { error: "replace, delete or create" }),
      /** Pulumi's name of the resource, such as docker-vm or postgres-data. */
      resource: nonEmpty("the name of a resource, such as docker-vm"),
      /** In quotes, or YAML makes a date of it. */
      until: z.iso.datetime({ offset: true, error: 'a time with zone in quotes, such as "2026-11-20T02:00:00+01:00"' }),
      reason: nonEmpty("one sentence that says why"),
    }),
    "a list of {action, resource, until, reason}",
  )
  .default([]);

/** Containers that may be privileged or reach Docker itself. Each is as powerful as the machine's root. */
export const privilegedContainersSchema = z
  .array(
    z.strictObject({ container: dnsLabel, reason: nonEmpty("one sentence that says why") }),
    "a list of {container, reason}",
  )
  .default([]);

/** Keys of every stack. */
export const sharedShape = {
  node: dnsLabel,
  zone: domain,
  dockerVm: dockerVmSchema,
  /** Storage that holds the archives. */
  backupStorage: pveId,
  files: filesSchema,
  /** What differs from the operator's own environment; goes into previews and evidence. */
  environmentNotes: z.array(z.string()).default([]),
};

export const prodShape = {
  cloudImage: cloudImageSchema,
  backup: backupSchema,
  dns: dnsSchema,
  readiness: readinessSchema,
  consent: consentSchema,
  privilegedContainers: privilegedContainersSchema,
};
export const drillShape = { drill: drillSchema, targets: targetsSchema, timeouts: timeoutsSchema };
export const restoreShape = { restore: restoreSchema.prefault({}), targets: targetsSchema, timeouts: timeoutsSchema };
