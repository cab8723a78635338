/** What the typed resource classes of the homelab provider share. */
import type * as pulumi from "@pulumi/pulumi";

/** The same shape with every property as a Pulumi input. */
export type InputsOf<T> = { [K in keyof T]: pulumi.Input<NonNullable<T[K]>> | Extract<T[K], undefined> };

/** Declares the outputs that the provider computes, which Pulumi needs to know of before the resource exists. */
export function withComputed<T extends object>(args: T, computed: readonly string[]): pulumi.Inputs {
  return { ...args, ...Object.fromEntries(computed.map((name) => [name, undefined])) };
}
