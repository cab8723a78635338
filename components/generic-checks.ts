import * as pulumi from "@pulumi/pulumi";
import { GUEST_CONTAINERS } from "../provider/contract/checks";
import type { StepStatus } from "../provider/contract/restore";
import type { RunRef } from "../provider/contract/run";
import { GuestContainers } from "../provider/sdk/drill";

export interface GenericChecksArgs {
  run: pulumi.Input<RunRef>;
  bootStatus: pulumi.Input<StepStatus>;
  /** Each check is tried until it passes or this time is over. */
  timeoutSeconds: number;
}

const TOKEN = "homelab:components:GenericChecks";

/**
 * The checks of a machine that no stack of this project has made: it boots, its agent answers, and the containers that ran at
 * backup time run again. No catalogue, no canary, no recorded root; the RPO is not measured.
 */
export class GenericChecks extends pulumi.ComponentResource {
  /** For the verdict's `dependsOn`. */
  readonly checks: pulumi.Resource[];
  /** Names under which the journal must hold checks. */
  readonly expectedServices: string[] = [GUEST_CONTAINERS];
  readonly expectRecoveryPoint = false;

  constructor(name: string, args: GenericChecksArgs, opts?: pulumi.ComponentResourceOptions) {
    super(TOKEN, name, {}, opts);
    this.checks = [new GuestContainers(`${name}-containers`, { ...args }, { parent: this })];
    this.registerOutputs({});
  }
}
