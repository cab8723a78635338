/**
 * What the lab is asked to be: the operator's nodes, bridges and storages, taken from their stack configuration by the
 * command line, plus the few things that only a lab has. The lab daemon reads it as JSON and knows nothing else of the stacks.
 */
import { z } from "zod";
import { PRIVILEGES } from "../pve/access/privileges";

/** One bridge in the lab's network namespace. */
const labBridgeSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9]{1,14}$/),
  /** Addresses with prefix that the lab host carries on it (node, gateway); none: an isolated bridge. */
  addresses: z.array(z.string()),
  /** The addresses are in this VLAN of the bridge; absent: untagged. */
  vlanId: z.number().int().min(1).max(4094).optional(),
});

/** One storage. `dir` keeps archives and images, `images` disks like LVM-thin: names without a file extension. */
const labStorageSchema = z.strictObject({
  id: z.string(),
  kind: z.enum(["dir", "lvmthin"]),
  /** PVE content types: images, import, iso, backup, snippets. */
  content: z.array(z.string()),
  totalBytes: z.number().int().positive(),
  /** Path that PVE would report; mapped below the lab's own folder. Only for `dir`. */
  path: z.string().optional(),
  /** False: the stack declares it (POST /storage), the lab only allows it. */
  predefined: z.boolean(),
});

/** A file that the emulated node can download (`download-url`); everything else is unreachable. */
const labDownloadSchema = z.strictObject({ url: z.string(), file: z.string() });

/** One role on one path. */
export const aclEntrySchema = z.strictObject({
  path: z.string(),
  /** User (`name@realm`) or token (`name@realm!token`). */
  who: z.string(),
  role: z.string(),
  /** Whether it reaches the paths below. */
  propagate: z.boolean(),
});

/** Who may do what, as in PVE's `user.cfg`. */
const accessSchema = z.strictObject({
  /** Privileges by role; `Administrator` and `NoAccess` are PVE's own. */
  roles: z.record(z.string(), z.array(z.enum(PRIVILEGES))),
  acl: z.array(aclEntrySchema),
  /** Tokens with privileges of their own (`privsep`), which never go beyond their user's. The others have their user's. */
  separatedTokens: z.array(z.string()),
  /** Pools that somebody made before the lab began, with VMIDs that belong to them, also of VMs that are not there. Absent: none. */
  pools: z.array(z.strictObject({ poolid: z.string(), vms: z.array(z.number().int()) })).optional(),
});

export const labSpecSchema = z.strictObject({
  /** Identity of this lab: network namespace `homelab-<id>`, and the marker of every process. */
  id: z.string().regex(/^[a-z0-9]{1,20}$/),
  /** Absolute folder of everything that the lab writes; removed by `lab down`. */
  dir: z.string(),
  node: z.strictObject({
    name: z.string(),
    /** Address on which the API listens (one of the bridges' addresses), port 8006. */
    address: z.ipv4(),
    memoryBytes: z.number().int().positive(),
    cores: z.number().int().positive(),
  }),
  /** Other nodes of the cluster. They are online and have nothing; what would need one answers 501. */
  otherNodes: z.array(z.string()).optional(),
  /** Whether backup jobs start at their times; absent: yes. Without it they start by hand only. */
  scheduler: z.boolean().optional(),
  bridges: z.array(labBridgeSchema),
  storages: z.array(labStorageSchema),
  downloads: z.array(labDownloadSchema),
  /** API tokens, `user@realm!name=uuid`. Secret. */
  apiTokens: z.array(z.string()),
  /** Absent: only `root@pam` may anything. */
  access: accessSchema.optional(),
  /** Addresses beyond the homelab that the lab's node plays itself, because its network has no way out. Absent: none. */
  outside: z.array(z.strictObject({ address: z.union([z.ipv4(), z.ipv6()]), port: z.number().int() })).optional(),
  cloudflare: z.strictObject({
    /** Secret. */
    apiToken: z.string(),
    zones: z.array(z.strictObject({ id: z.string(), name: z.string() })),
    port: z.number().int(),
  }),
  registry: z.strictObject({
    /** Folder with the OCI layout that the image builder made. */
    root: z.string(),
    /** Repository and tag to manifest digest. */
    tags: z.record(z.string(), z.string()),
    port: z.number().int(),
  }),
});
export type LabSpec = z.infer<typeof labSpecSchema>;
