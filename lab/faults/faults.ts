/** The switchboard of a lab's faults. All are off until somebody switches one on; each time one is met stands in the log. */
import { networkKeys, parseNetworkCard, printNetworkCard } from "../../pve/vm-config";
import { type VmConfig } from "../types";
import { type CallEffect, FAULTS, type FaultDefinition, type FaultName, type RestoreEffect } from "./catalogue";
import { type FaultScope, matchesCall, parseScope } from "./scope";

/** A fault that is on. */
export interface ActiveFault {
  readonly name: FaultName;
  readonly scope: FaultScope;
  /** How often it was met. */
  readonly met: number;
}

interface Switched {
  readonly scope: FaultScope;
  /** Aborts when the fault is switched off. */
  readonly end: AbortController;
  seen: number;
  met: number;
}

/** Sees every call, so that something can happen at an exact one. False: the caller gets no answer, its connection is reset. */
export interface CallObserver {
  /** False: the call is not made either, as when the caller dies before it is sent. */
  before(method: string, path: string): boolean;
  /** After the effect of a call that went well. */
  after(method: string, path: string): boolean;
}

export class Faults {
  /** At most one; absent: nobody looks. */
  observer?: CallObserver;

  private readonly switched = new Map<FaultName, Switched>();

  /** @param log Gets a line for each switch and each time a fault is met. */
  constructor(private readonly log: (line: string) => void = () => undefined) {}

  /** Switches a fault on; one that is on begins anew. @throws Error for a scope that does not fit the fault */
  on(name: FaultName, scope: unknown = {}): void {
    const parsed = parseScope(name, scope);
    this.switched.get(name)?.end.abort();
    this.switched.set(name, { scope: parsed, end: new AbortController(), seen: 0, met: 0 });
    this.log(`fault ${name} is on: ${FAULTS[name].what} ${JSON.stringify(parsed)}`);
  }

  /** Switches a fault off. Gives how often it was met; 0 if it was not on. */
  off(name: FaultName): number {
    const switched = this.switched.get(name);
    if (switched === undefined) return 0;
    this.switched.delete(name);
    switched.end.abort();
    this.log(`fault ${name} is off; it was met ${switched.met} times`);
    return switched.met;
  }

  /** Switches everything off. */
  allOff(): void {
    for (const name of [...this.switched.keys()]) this.off(name);
  }

  list(): ActiveFault[] {
    return [...this.switched].map(([name, { scope, met }]) => ({ name, scope, met }));
  }

  /** The fault that meets this call, if one does. Asking counts. */
  onCall(method: string, path: string): { readonly name: FaultName; readonly effect: CallEffect } | undefined {
    return this.first("call", `${method} ${path}`, (definition, { scope }) =>
      matchesCall(scope.on ?? definition.on, method, path),
    );
  }

  /** The fault that meets this restore, if one does. Asking counts. */
  onRestore(vmId: number): { readonly name: FaultName; readonly effect: RestoreEffect } | undefined {
    return this.first("restore", `the restore of VM ${vmId}`, (_, { scope }) => isOfVm(scope, vmId));
  }

  isOffline(storage: string): boolean {
    return this.switched.get("storage-offline")?.scope.storage === storage;
  }

  /** The configuration with which a VM is to start. Asking counts. */
  startConfig(vmId: number, config: VmConfig, now: Date): VmConfig {
    const fault = this.first("clock", `the start of VM ${vmId}`, (_, { scope }) => isOfVm(scope, vmId));
    if (fault === undefined) return config;
    const at = new Date(now.getTime() + fault.offsetSeconds * 1000);
    return { ...config, startdate: at.toISOString().replace(/\.\d+Z$/, "") };
  }

  /** The configuration with the network that a starting VM's cards are really on. `routed`: a bridge with a router. Asking counts. */
  startNetwork(vmId: number, config: VmConfig, routed: { readonly name: string; readonly vlanId?: number }): VmConfig {
    const fault = this.first("network", `the start of VM ${vmId}`, (_, { scope }) => isOfVm(scope, vmId));
    if (fault === undefined) return config;
    const cards = networkKeys(config).map((key) => {
      const card = parseNetworkCard(config[key] ?? "");
      const options: Record<string, string> = { ...card.options, bridge: routed.name };
      if (routed.vlanId !== undefined) options["tag"] = String(routed.vlanId);
      return [key, printNetworkCard({ ...card, options })] as const;
    });
    return { ...config, ...Object.fromEntries(cards) };
  }

  /** Resolves when the fault is switched off. Rejects with the signal's reason. */
  async untilOff(name: FaultName, signal: AbortSignal): Promise<void> {
    const end = this.switched.get(name)?.end.signal;
    if (end === undefined) return;
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => reject(signal.reason as Error);
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop, { once: true });
      end.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  private first<K extends FaultDefinition["kind"]>(
    kind: K,
    what: string,
    meets: (definition: Extract<FaultDefinition, { kind: K }>, switched: Switched) => boolean,
  ): (Extract<FaultDefinition, { kind: K }> & { readonly name: FaultName }) | undefined {
    for (const [name, switched] of this.switched) {
      const definition = FAULTS[name];
      if (!isOfKind(definition, kind) || !meets(definition, switched)) continue;
      const { after = 0, times = Infinity } = switched.scope;
      switched.seen++;
      if (switched.seen <= after || switched.met >= times) continue;
      switched.met++;
      this.log(`fault ${name} meets ${what}`);
      return { ...definition, name };
    }
    return undefined;
  }
}

function isOfKind<K extends FaultDefinition["kind"]>(
  definition: FaultDefinition,
  kind: K,
): definition is Extract<FaultDefinition, { kind: K }> {
  return definition.kind === kind;
}

function isOfVm(scope: FaultScope, vmId: number): boolean {
  return scope.vm === undefined || scope.vm === vmId;
}
