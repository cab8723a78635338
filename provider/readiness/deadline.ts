/** The common time limit of all steps towards readiness, and what was seen last. */
import type { ReadinessInputs } from "../contract/production";
import type { ProviderContext } from "../definition";

/** Counts down from its making. */
export class Deadline {
  private readonly end: number;
  private lastSeen = "nothing yet";

  constructor(
    private readonly inputs: Pick<ReadinessInputs, "vmId" | "ssh" | "timeoutSeconds">,
    private readonly context: Pick<ProviderContext, "signal" | "report">,
  ) {
    this.end = performance.now() + inputs.timeoutSeconds * 1000;
  }

  get signal(): AbortSignal {
    return this.context.signal;
  }

  /** Milliseconds that are left, at least 1. */
  leftMs(): number {
    return Math.max(1, this.end - performance.now());
  }

  /** Tells, and remembers for a time-out. */
  saw(what: string): void {
    this.lastSeen = what;
    this.context.report("progress", what);
  }

  /** The error when the time is over. */
  timedOut(waitedFor: string): Error {
    const { vmId, ssh, timeoutSeconds } = this.inputs;
    return new Error(
      `Unable to make VM ${vmId} (${ssh.address}) ready within ${timeoutSeconds} s: waited for ${waitedFor}; ` +
        `last seen: ${this.lastSeen}. See the VM's console in Proxmox; if it only boots slowly, raise the time limit.`,
    );
  }
}
