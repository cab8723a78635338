import * as pulumi from "@pulumi/pulumi";
import type { Endpoint } from "../provider/contract/isolation";
import type { SshTarget } from "../provider/contract/production";
import type { StepStatus } from "../provider/contract/restore";
import type { RunRef } from "../provider/contract/run";
import { IsolationControl, IsolationProbe } from "../provider/sdk/drill";

/** What must not answer a restored VM, and who can tell that it would. */
export interface IsolationTargets {
  /** Gateways of production's network. */
  gateways: string[];
  /** Addresses beyond all of it. */
  outside: Endpoint[];
  /** The source VM, where the same probes must be answered. */
  ssh: SshTarget;
}

export interface IsolationArgs extends IsolationTargets {
  run: pulumi.Input<RunRef>;
  sourceVmId: number;
  bootStatus: pulumi.Input<StepStatus>;
  /** How long the guest may take to get its network up; then it is probed as it is. */
  networkSeconds: number;
  /** Until a VM that has a way out is stopped. */
  stopTimeoutSeconds: number;
}

const TOKEN = "homelab:components:Isolation";

/**
 * Proof from inside that a restored VM reaches nobody. The control runs on the source VM while the restore does; the probe comes
 * between boot and checks.
 */
export class Isolation extends pulumi.ComponentResource {
  /** `passed`: the guest boots and nothing answers it. */
  readonly status: pulumi.Output<StepStatus>;

  constructor(name: string, args: IsolationArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);

    const { run, sourceVmId, bootStatus, networkSeconds, stopTimeoutSeconds, ...targets } = args;
    const control = new IsolationControl(`${name}-control`, { run, sourceVmId, ...targets }, { parent: this });
    const probe = new IsolationProbe(
      `${name}-probe`,
      { run, bootStatus, targets: control.targets, controls: control.observations, networkSeconds, stopTimeoutSeconds },
      { parent: this },
    );
    this.status = probe.status;
    this.registerOutputs({ status: this.status });
  }
}
