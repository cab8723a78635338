/**
 * The two ways to restore: beside production under another identity, or production itself. What both share (the task, the
 * journal, the waiting) stands in `resources/restored-vm.ts`.
 */
import type { PveClient } from "../pve/client";
import { nodeNetwork } from "../pve/nodes/network";
import { type RestoreParameters, updateVm, vmConfig } from "../pve/nodes/qemu";
import type { RestoredVmInputs } from "./contract/restore";
import type { ProviderContext } from "./definition";
import { jobsAfterRestore, requireNoJobFor } from "./backup-jobs";
import { requireIsolation } from "./isolated-bridge";
import { appendEvent } from "./journal";
import {
  bridgesOf,
  handOverParameters,
  handOverProblems,
  originalDeviations,
  originalParameters,
} from "./original-identity";
import { ownershipOf } from "./ownership";
import { requirePool } from "./pool";
import { deviations, hasCloudInit, obstaclesTo, reductions, restoreParameters } from "./restore-parameters";
import { setAside } from "./set-aside";

/** A VM's configuration. */
type Config = Readonly<Record<string, string>>;

/** What differs between a drill and an emergency. */
export interface RestoreWay {
  /** @throws Error when the place where the VM is to be restored is not as it must be. Changes nothing. */
  requirePlace(client: PveClient, inputs: RestoredVmInputs): Promise<void>;
  /** Takes away what the operator lets the restore replace. @throws Error when it can't be taken away. */
  makePlace(context: ProviderContext, inputs: RestoredVmInputs, archiveConfig: Config): Promise<void>;
  /**
   * What is worth knowing before the restore, one text each.
   *
   * @throws Error when this archive can't be restored in this way.
   */
  findings(inputs: RestoredVmInputs, archiveConfig: Config): string[];
  parameters(inputs: RestoredVmInputs, archiveConfig: Config): RestoreParameters;
  /** Why the restored VM must not be started; nothing if it may. */
  deviations(
    client: PveClient,
    inputs: RestoredVmInputs,
    { archiveConfig, config }: { readonly archiveConfig: Config; readonly config: Config },
  ): Promise<string[]>;
  /** What is worth knowing of the restored VM. */
  findingsAfter(config: Config): string[];
  /** Ends the run's hold on a verified VM, if it does not keep it to its removal. */
  handOver(context: ProviderContext, inputs: RestoredVmInputs, archiveConfig: Config): Promise<void>;
}

/** The way that a restore of this kind goes. */
export function wayOf({ kind }: RestoredVmInputs): RestoreWay {
  switch (kind) {
    case "drill":
      return besideProduction;
    case "emergency":
      return productionItself;
  }
}

const besideProduction: RestoreWay = {
  async requirePlace(client, inputs) {
    const { node, vmId } = inputs.run;
    await requirePool(client, inputs.pool);
    await requireIsolation(client, { node, name: bridgeOf(inputs), ownVmId: vmId });
    await requireNoJobFor(client, { node, vmId, pool: inputs.pool });
  },

  async makePlace() {
    // A drill takes nothing away: it has a VMID of its own.
  },

  findings(inputs, archiveConfig) {
    const obstacles = obstaclesTo(archiveConfig);
    if (obstacles.length > 0) {
      throw new Error(
        `Unable to restore ${inputs.restorePoint.archive} beside its source: it is tied to the node by ${obstacles.join("; ")}. ` +
          "Remove these from the source VM and make a new backup.",
      );
    }
    return reductions(inputs, archiveConfig);
  },

  parameters: (inputs, archiveConfig) => restoreParameters(inputs, bridgeOf(inputs), archiveConfig),

  async deviations(client, inputs, { config }) {
    const { node, vmId } = inputs.run;
    return [...deviations(inputs.run, bridgeOf(inputs), config), ...(await jobsAfterRestore(client, { node, vmId }))];
  },

  findingsAfter: (config) =>
    hasCloudInit(config)
      ? [
          "The restored guest has another name and other MAC addresses, so its cloud-init runs its first-boot modules again " +
            "(users, host keys). An emergency restore under the original identity does not.",
        ]
      : [],

  async handOver() {
    // The drill's VM stays the run's until it is removed.
  },
};

const productionItself: RestoreWay = {
  async requirePlace(client, { pool }) {
    // The lease has looked at the VMID, and Proxmox itself refuses to make a VM at one that was taken since.
    await requirePool(client, pool);
  },

  makePlace: setAside,
  findings: () => [],

  parameters: originalParameters,
  deviations: async (_client, inputs, { archiveConfig, config }) => originalDeviations(inputs, archiveConfig, config),
  findingsAfter: () => [],

  async handOver({ client }, { run }, archiveConfig) {
    // First the journal: from here on nothing of this run removes the VM.
    await appendEvent(run, { type: "handed-over" });
    const { node, vmId, resumes, runId } = run;
    const config = await vmConfig(client, node, vmId);
    // A run that is taken up may have died before it let the VM go.
    const isHeld = ownershipOf(config, { ...run, runId: resumes ?? runId }) === "own";
    if (isHeld) await updateVm(client, node, vmId, handOverParameters(archiveConfig));
    const problems = handOverProblems(archiveConfig, isHeld ? await vmConfig(client, node, vmId) : config);
    if (problems.length === 0) return;
    // Of a VM that was let go before, these are somebody's changes.
    if (resumes !== undefined && !isHeld) {
      await appendEvent(run, { type: "finding", text: `VM ${vmId} differs from its archive: ${problems.join("; ")}.` });
      return;
    }
    throw new Error(
      `Unable to hand VM ${vmId} over: ${problems.join("; ")}. It was restored whole and not started: set these, then run the restore again.`,
    );
  },
};

/**
 * Bridges of the archive's cards that the node does not show, with what that means. A VNet is no bridge in the node's list, so
 * this is a warning; the VM's start will tell.
 */
export async function missingBridges(client: PveClient, node: string, archiveConfig: Config): Promise<string[]> {
  const { interfaces } = await nodeNetwork(client, node);
  const known = new Set(interfaces.map(({ iface }) => iface));
  return bridgesOf(archiveConfig)
    .filter((bridge) => !known.has(bridge))
    .map(
      (bridge) =>
        `Node ${node} shows no bridge ${bridge}, which the VM's card needs to start: make it while the restore runs.`,
    );
}

function bridgeOf({ isolatedBridge }: RestoredVmInputs): string {
  if (isolatedBridge !== undefined) return isolatedBridge;
  throw new Error(
    "Unable to restore beside production: the drill names no isolated bridge. Set homelab:drill.isolatedBridge.",
  );
}
