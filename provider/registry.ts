/** All resources and functions of the provider by token. */
import type * as provider from "@pulumi/pulumi/provider";
import { checkAccessArgsSchema } from "./contract/access";
import { lookupContainersArgsSchema } from "./contract/production";
import type { ProviderContext } from "./definition";
import { type Lifecycle, lifecycleOf } from "./lifecycle";
import { checkAccess } from "./resources/access";
import { lookupContainers } from "./resources/deployed-containers";
import { guestBoot } from "./resources/guest-boot";
import { guestContainers } from "./resources/guest-containers";
import { isolationControl } from "./resources/isolation-control";
import { isolationProbe } from "./resources/isolation-probe";
import { lease } from "./resources/lease";
import { proxyConfig } from "./resources/proxy-config";
import { readiness } from "./resources/readiness";
import { recordedRoot } from "./resources/recorded-root";
import { recoveryPoint } from "./resources/recovery-point";
import { lookupRestorePoint, restorePointArgs } from "./resources/restore-point";
import { restoredVm } from "./resources/restored-vm";
import { serviceCheck } from "./resources/service-check";
import { verdict } from "./resources/verdict";
import { CHECK_ACCESS, LOOKUP_CONTAINERS, LOOKUP_RESTORE_POINT } from "./tokens";
import { validateInputs } from "./validation";
import { decodeProperties } from "./wire";

const LIFECYCLES: ReadonlyMap<string, Lifecycle> = new Map(
  [
    lifecycleOf(lease),
    lifecycleOf(restoredVm),
    lifecycleOf(guestBoot),
    lifecycleOf(isolationControl),
    lifecycleOf(isolationProbe),
    lifecycleOf(serviceCheck),
    lifecycleOf(guestContainers),
    lifecycleOf(recoveryPoint),
    lifecycleOf(verdict),
    lifecycleOf(readiness),
    lifecycleOf(proxyConfig),
    lifecycleOf(recordedRoot),
  ].map((lifecycle) => [lifecycle.token, lifecycle]),
);

/** The resource type of a URN (`urn:pulumi:<stack>::<project>::<parents>$<type>::<name>`). */
export function typeOfUrn(urn: string): string {
  return urn.split("::")[2]?.split("$").at(-1) ?? "";
}

/** The resource that a URN is of. */
export function lifecycleOfUrn(urn: string): Lifecycle {
  const token = typeOfUrn(urn);
  const lifecycle = LIFECYCLES.get(token);
  if (lifecycle === undefined) {
    throw new Error(`Unable to handle ${urn}: the provider has no resource "${token}". Correct the type token.`);
  }
  return lifecycle;
}

/** Calls a function of the provider. */
export async function invoke(context: ProviderContext, token: string, args: unknown): Promise<provider.InvokeResult> {
  if (token === CHECK_ACCESS) {
    const { inputs, failures } = validateInputs(checkAccessArgsSchema, decodeProperties(args));
    return inputs === undefined ? { outputs: {}, failures } : { outputs: await checkAccess(context, inputs) };
  }
  if (token === LOOKUP_CONTAINERS) {
    const { inputs, failures } = validateInputs(lookupContainersArgsSchema, decodeProperties(args));
    if (inputs === undefined) return { outputs: {}, failures };
    return { outputs: { containers: await lookupContainers(context, inputs) } };
  }
  if (token !== LOOKUP_RESTORE_POINT) {
    throw new Error(`Unable to call "${token}": the provider has no such function. Correct the token.`);
  }
  const { inputs, failures } = validateInputs(restorePointArgs, decodeProperties(args));
  if (inputs === undefined) return { outputs: {}, failures };
  return { outputs: await lookupRestorePoint(context, inputs) };
}
