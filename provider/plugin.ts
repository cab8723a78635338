/** The provider as Pulumi's server calls it: finds the resource, hands over, and ends every wait when told to. */
import type * as provider from "@pulumi/pulumi/provider";
import { PveClient } from "../pve/client";
import type { ProviderContext } from "./definition";
import { type Reporter, SILENT } from "./engine-log";
import { invoke, lifecycleOfUrn } from "./registry";
import { PROVIDER_VERSION, schemaText } from "./schema";

/** A provider that can be told to end. */
export interface StoppableProvider extends provider.Provider {
  /** Ends every wait and gives the steps under way the time to report what they had made. */
  stop(reason: string): Promise<void>;
}

/** What a provider is made of; everything has a default. */
export interface ProviderParts {
  readonly client?: PveClient;
  readonly reporter?: Reporter;
  /** Shortest time in milliseconds between two looks at a container's restart count. */
  readonly containerWindowMs?: number;
}

/** Makes the provider. Credentials are read from the environment at each call. */
export function createProvider({
  client = new PveClient(),
  reporter = SILENT,
  containerWindowMs = 5000,
}: ProviderParts = {}): StoppableProvider {
  const stopping = new AbortController();
  const contextFor = (urn: string): ProviderContext => ({
    ...{ client, containerWindowMs, signal: stopping.signal },
    report: (kind, message) => reporter(urn, kind, message),
  });
  const underWay = new Set<Promise<unknown>>();

  async function track<T>(step: Promise<T>): Promise<T> {
    underWay.add(step);
    try {
      return await step;
    } finally {
      underWay.delete(step);
    }
  }

  return {
    version: PROVIDER_VERSION,
    schema: schemaText(),
    check: async (urn, olds, news) => lifecycleOfUrn(urn).check(contextFor(urn), olds, news),
    diff: async (_id, urn, olds, news) => lifecycleOfUrn(urn).diff(olds, news),
    create: async (urn, inputs) => track(lifecycleOfUrn(urn).create(contextFor(urn), inputs)),
    read: async (id, urn, props) => track(lifecycleOfUrn(urn).read(contextFor(urn), id, props)),
    update: async (id, urn, olds, news) => track(lifecycleOfUrn(urn).update(contextFor(urn), id, olds, news)),
    delete: async (_id, urn, props) => track(lifecycleOfUrn(urn).delete(contextFor(urn), props)),
    invoke: async (token, args) => track(invoke(contextFor(""), token, args)),
    cancel: async () => stopping.abort(new Error("the update was cancelled")),
    async stop(reason) {
      stopping.abort(new Error(reason));
      await Promise.allSettled(underWay);
    },
  };
}
