/**
 * What the lab replaces in the operator's stack files, all of it in one place. The committed files are read and never
 * written; the lab's project folder gets copies with these keys replaced, and the list goes into each drill's evidence.
 */
import { stringify } from "yaml";
import type { ProdConfig, StackConfig } from "../../stacks/config";
import { outsideOf } from "../../stacks/outside";

export interface OverlayArgs {
  /** Stacks by name, as the operator committed them. */
  readonly stacks: Readonly<Record<string, StackConfig>>;
  /** Absolute folder in which the clone keeps evidence. */
  readonly evidenceDir: string;
  /** Absolute folder of the certificates that prod records. */
  readonly trustDir: string;
  /** Absolute path; ssh puts its control sockets beside it, so it must be short. */
  readonly knownHostsFile: string;
  /** Absolute path of the lab's own images.lock.json. */
  readonly imagesLockFile: string;
  /** Absolute path of the lab's private key; the file's content is no part of the overlay. */
  readonly sshKeyFile: string;
  /** Public key line of the same pair. */
  readonly sshPublicKey: string;
  /** SHA-256 of the lab's cloud image, hex. */
  readonly cloudImageSha256: string;
  /** Names of the secrets that are generated. */
  readonly secretKeys: readonly string[];
  /** How the lab runs machines, e.g. `QEMU with tcg`. */
  readonly machineNote: string;
  /** Whether backup jobs start at their times. */
  readonly scheduler: boolean;
  /** The only stack that runs in the lab, and it needs no images; default: all. */
  readonly onlyStack?: string;
}

/** Keys and values without namespace, per stack, that take the place of the operator's. No secrets. */
export type Overlay = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** The lines that stand in previews and evidence. */
export function overlayNotes(args: OverlayArgs): string[] {
  const lab = `Rehearsal lab: emulated Proxmox VE API, ${args.machineNote}. Not a real Proxmox VE.`;
  const outside = Object.values(args.stacks).flatMap(outsideNotes);
  if (args.onlyStack !== undefined) return [lab, ...outside];
  return [
    lab,
    ...outside,
    "The cloud image's address leads to the lab's own Debian image; its checksum is replaced.",
    "Container images come from the lab's mirror, built from Debian packages and Go modules under their public names; their digests are the lab's.",
    "The SSH key pair is the lab's.",
    ...Object.values(args.stacks).flatMap(nasNotes),
    ...(args.scheduler ? [] : ["Backup jobs start by hand only; their schedules are declared but rest."]),
    ...(args.secretKeys.length === 0 ? [] : [`Generated for the lab: ${args.secretKeys.join(", ")}.`]),
  ];
}

/** The lab has no way out: what drills must not reach is played by its node. */
function outsideNotes(config: StackConfig): string[] {
  if (config.kind !== "drill") return [];
  const addresses = outsideOf(config).map(({ address }) => address);
  return [`The outside (${addresses.join(", ")}) is the lab's own node; nothing beyond the lab is reached.`];
}

/** The lab has no NFS server: it keeps such a storage in a folder of its own. */
function nasNotes(config: StackConfig): string[] {
  if (config.kind !== "prod" || config.backup.storage.type !== "nfs") return [];
  const { server, export: exported } = config.backup.storage;
  return [`The NFS export ${server}:${exported} is a folder of the lab's; the NAS itself is never contacted.`];
}

/** Pure. Only these keys differ between the operator's stacks and the lab's. */
export function buildOverlay(args: OverlayArgs): Overlay {
  const notes = overlayNotes(args);
  return Object.fromEntries(
    Object.entries(args.stacks)
      .filter(([stack]) => args.onlyStack === undefined || stack === args.onlyStack)
      .map(([stack, config]) => [
        stack,
        {
          dockerVm: { ...config.dockerVm, sshAuthorizedKey: args.sshPublicKey, sshPrivateKeyFile: args.sshKeyFile },
          files: {
            evidence: args.evidenceDir,
            trust: args.trustDir,
            knownHosts: args.knownHostsFile,
            imagesLock: args.imagesLockFile,
          },
          environmentNotes: [...config.environmentNotes, ...notes],
          ...(config.kind === "prod" ? { cloudImage: labCloudImage(config, args.cloudImageSha256) } : {}),
        },
      ]),
  );
}

function labCloudImage(config: ProdConfig, sha256: string): ProdConfig["cloudImage"] {
  return { ...config.cloudImage, checksum: `sha256:${sha256}` };
}

/** The overlay as people read it: what differs, and nothing that stays. */
export function printOverlay(overlay: Overlay, stacks: Readonly<Record<string, StackConfig>>): string {
  const changed = Object.entries(overlay).map(([stack, values]) => {
    const before: Record<string, unknown> = { ...stacks[stack] };
    return [stack, difference(before, values)];
  });
  return stringify(Object.fromEntries(changed), { lineWidth: 0 });
}

function difference(
  before: Record<string, unknown>,
  after: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const entries = Object.entries(after).filter(([key, value]) => JSON.stringify(before[key]) !== JSON.stringify(value));
  return Object.fromEntries(
    entries.map(([key, value]) => {
      const old = before[key];
      return isPlainObject(value) && isPlainObject(old) ? [key, difference(old, value)] : [key, value];
    }),
  );
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
