/** How the committed stacks become those of a drill on an operator's own archive. Pure. */
import type { DrillConfig, ProdConfig } from "../../stacks/config";
import { CliError } from "../errors";
import { applyOverlay, type StackFiles } from "../lab/stack-files";
import type { ArchiveFile } from "./archive-file";

/** What this computer can give. */
export interface Host {
  /** MiB that are free for a VM now. */
  readonly memoryMiB: number;
  readonly cores: number;
  /** Bytes free where the lab keeps its disks. */
  readonly diskBytes: number;
}

/** Left for everything else on this computer while the VM runs. */
const SPARE_MIB = 1024;
/** Nothing that runs Docker boots with less. */
const LEAST_MIB = 512;
const GIB = 2 ** 30;

/**
 * Limits for a guest that nobody has timed, on an emulated processor: an hour of disk checks or updates at boot is not a failed
 * restore. Seconds; the committed ones hold where they are longer.
 */
const PATIENCE = { restoreSeconds: 4 * 3600, startSeconds: 300, agentSeconds: 3600, checkSeconds: 1800 } as const;

/** Nothing is known of the services in the VM: it boots, its agent answers, what ran at the backup runs again. */
const UNKNOWN_SERVICES = { profile: "generic" } as const;

export interface ArchivePlan {
  /** Only the drill stack is brought up; production's tells the lab's node, bridges and storages. */
  readonly files: StackFiles;
  readonly drill: { readonly name: string; readonly config: DrillConfig };
  /** Bytes that the storage of the restored disks must at least have. */
  readonly storageBytes: number;
  /** What differs from the archive, for the operator and for the evidence. */
  readonly notes: readonly string[];
}

/** Fits archive, stacks and computer together. Throws when the computer is too small. */
export function planArchiveDrill(
  files: StackFiles,
  drill: { readonly name: string; readonly config: DrillConfig },
  archive: ArchiveFile,
  host: Host,
): ArchivePlan {
  requireDisk(archive, host);
  const memoryMiB = memoryFor(archive, host);
  const cores = coresFor(archive, host);
  const notes = [
    `The operator's own archive ${archive.name} of VM ${archive.vmId}, drilled without a prod stack.`,
    ...archive.remarks,
    ...(memoryMiB === archive.memoryMiB
      ? []
      : [`The VM runs with ${memoryMiB} MiB instead of ${archive.memoryMiB} MiB, which this computer can't spare.`]),
    ...(cores === archive.cores
      ? []
      : [`The VM runs with ${cores} instead of ${archive.cores} cores a socket; this computer has ${host.cores}.`]),
  ];
  const { prod } = files;
  const dockerVm = { ...drill.config.dockerVm, vmId: archive.vmId, memoryMiB: archive.memoryMiB };
  const { vmId, name, pool, isolatedBridge, storage, expiresAfterHours } = drill.config.drill;
  const changed: DrillConfig = {
    ...drill.config,
    dockerVm,
    drill: {
      ...UNKNOWN_SERVICES,
      name,
      pool,
      isolatedBridge,
      storage,
      expiresAfterHours,
      vmId: vmId === archive.vmId ? vmId + 1 : vmId,
      restorePoint: { choose: "named", archive: `${drill.config.backupStorage}:backup/${archive.name}` },
      ...(memoryMiB === archive.memoryMiB ? {} : { memoryMiB }),
      ...(cores === archive.cores ? {} : { cores }),
    },
    timeouts: patient(drill.config.timeouts),
    environmentNotes: [...drill.config.environmentNotes, ...notes],
  };
  // The storage is there from the start, since no prod stack declares it; and the lab makes no Docker VM.
  const prodConfig: ProdConfig = {
    ...prod.config,
    dockerVm: { ...prod.config.dockerVm, memoryMiB: archive.memoryMiB },
    backup: { ...prod.config.backup, storage: { type: "existing" } },
  };
  const text = files.texts[drill.name] ?? "";
  return {
    files: {
      ...files,
      images: [],
      secretKeys: [],
      stacks: { [prod.name]: prodConfig, [drill.name]: changed },
      texts: { [drill.name]: applyOverlay(text, { drill: changed.drill, timeouts: changed.timeouts }) },
      prod: { name: prod.name, config: prodConfig },
    },
    drill: { name: drill.name, config: changed },
    // Twice: the drill asks for room for all disks at full size and a margin.
    storageBytes: 2 * archive.diskBytes,
    notes,
  };
}

function patient(timeouts: DrillConfig["timeouts"]): DrillConfig["timeouts"] {
  const longer = Object.entries(PATIENCE).map(([key, seconds]) => {
    return [key, Math.max(seconds, timeouts[key as keyof typeof PATIENCE])];
  });
  return { ...timeouts, ...(Object.fromEntries(longer) as Record<keyof typeof PATIENCE, number>) };
}

function requireDisk(archive: ArchiveFile, host: Host): void {
  // The least that the restored disks take; how much they really do is known only after unpacking.
  if (host.diskBytes >= archive.bytes + GIB) return;
  throw new CliError(
    `Unable to rehearse the archive ${archive.path}: it has ${gib(archive.bytes)} and this computer has ` +
      `${gib(host.diskBytes)} left below /var/tmp, where the restored disks go. Make room there.`,
  );
}

function memoryFor(archive: ArchiveFile, host: Host): number {
  const spare = host.memoryMiB - SPARE_MIB;
  if (archive.memoryMiB <= spare) return archive.memoryMiB;
  if (spare >= LEAST_MIB) return Math.floor(spare / 256) * 256;
  throw new CliError(
    `Unable to rehearse the archive ${archive.path}: its VM has ${archive.memoryMiB} MiB of memory and this computer has ` +
      `${host.memoryMiB} MiB free, of which ${SPARE_MIB} MiB are needed beside the VM. End other programs first.`,
  );
}

/** More virtual than real cores make emulation slower, not faster. */
function coresFor(archive: ArchiveFile, host: Host): number {
  return Math.max(1, Math.min(archive.cores, Math.floor(host.cores / archive.sockets)));
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}
