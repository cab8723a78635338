/** Turns a resource definition into what the engine calls: decodes, validates, compares, encodes. */
import { isDeepStrictEqual } from "node:util";
import type * as provider from "@pulumi/pulumi/provider";
import { HalfMade, type ProviderContext, type ResourceDefinition } from "./definition";
import { type PropertyFailure, requireComplete, validateInputs } from "./validation";
import { containsUnknown, type Decoded, decodeProperties, encodeOutputs } from "./wire";

/** The engine's calls for one resource type, on raw property bags. */
export interface Lifecycle {
  readonly token: string;
  check(context: ProviderContext, olds: unknown, news: unknown): Promise<provider.CheckResult>;
  diff(olds: unknown, news: unknown): Promise<provider.DiffResult>;
  create(context: ProviderContext, inputs: unknown): Promise<provider.CreateResult>;
  read(context: ProviderContext, id: string, outputs: unknown): Promise<provider.ReadResult>;
  update(context: ProviderContext, id: string, olds: unknown, news: unknown): Promise<provider.UpdateResult>;
  delete(context: ProviderContext, outputs: unknown): Promise<void>;
}

/** What the engine records of a resource whose create or update failed half-way. Source: `grpcResponseFromError`. */
class InitializationFailed extends Error {
  readonly reasons: readonly string[];
  constructor(
    cause: HalfMade,
    readonly id: string,
    readonly properties: object,
  ) {
    super(cause.message, { cause });
    this.reasons = [cause.message];
  }
}

/** Binds a definition to raw property bags. */
export function lifecycleOf<I extends object, O extends I>(definition: ResourceDefinition<I, O>): Lifecycle {
  const { token, inputs: schema } = definition;

  function complete(decoded: Decoded): I {
    return requireComplete(schema, decoded, `the inputs of ${token}`);
  }

  /** Outputs are inputs that were validated when they were stored, plus what the definition computed itself. */
  function storedOutputs(decoded: Decoded): O {
    const known = Object.keys(definition.computed);
    const inputValues = Object.fromEntries(Object.entries(decoded.values).filter(([key]) => !known.includes(key)));
    const computed = Object.fromEntries(Object.entries(decoded.values).filter(([key]) => known.includes(key)));
    return { ...complete({ ...decoded, values: inputValues }), ...computed } as O;
  }

  function encode(outputs: object, inputs: Decoded): Readonly<Record<string, unknown>> {
    return encodeOutputs({ ...outputs }, inputs);
  }

  async function recordingHalfMade<T>(inputs: Decoded, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof HalfMade)) throw error;
      throw new InitializationFailed(error, error.id, encode(error.outputs, inputs));
    }
  }

  return {
    token,

    async check(context, olds, news) {
      const decoded = decodeProperties(news);
      const { inputs, failures } = validateInputs(schema, decoded);
      const secretFailures: PropertyFailure[] = definition.refusesSecrets
        ? [...decoded.secrets].map((property) => ({
            property,
            reason: "is secret, but this resource writes it into evidence, which is plain text; pass a plain value",
          }))
        : [];
      const allFailures = [...failures, ...secretFailures];
      if (allFailures.length === 0 && inputs !== undefined && definition.check !== undefined) {
        const standing = validateInputs(schema, decodeProperties(olds)).inputs;
        allFailures.push(...(await definition.check(context, inputs, standing)));
      }
      return { inputs: news, failures: allFailures };
    },

    async diff(olds, news) {
      const before = decodeProperties(olds);
      const after = decodeProperties(news);
      const keys = new Set([...Object.keys(after.values), ...Object.keys(before.values)]);
      const computed = new Set(Object.keys(definition.computed));
      const changed = [...keys].filter(
        (key) =>
          !computed.has(key) &&
          (containsUnknown(after.values[key]) || !isDeepStrictEqual(before.values[key], after.values[key])),
      );
      const replaceOn: readonly string[] = definition.replaceOn === "all" ? changed : definition.replaceOn;
      const replaces = changed.filter((key) => replaceOn.includes(key));
      const hasDrifted =
        changed.length === 0 && definition.hasDrifted !== undefined
          ? await definition.hasDrifted(storedOutputs(before))
          : false;
      return {
        changes: changed.length > 0 || hasDrifted,
        replaces,
        deleteBeforeReplace: replaces.length > 0 && definition.deleteBeforeReplace === true,
      };
    },

    async create(context, inputs) {
      const decoded = decodeProperties(inputs);
      return recordingHalfMade(decoded, async () => {
        const { id, outputs } = await definition.create(context, complete(decoded));
        return { id, outs: encode(outputs, decoded) };
      });
    },

    async read(context, id, outputs) {
      const decoded = decodeProperties(outputs);
      if (Object.keys(decoded.values).length === 0) {
        throw new Error(`Unable to import ${token} ${id}: it is a record of a run. Create it with pulumi up.`);
      }
      const present =
        definition.read === undefined ? storedOutputs(decoded) : await definition.read(context, storedOutputs(decoded));
      if (present === undefined) return { id: "", props: {} };
      const stored = Object.keys(definition.computed);
      const props = encode(present, withoutKeys(decoded, stored));
      return { id, props, inputs: Object.fromEntries(Object.entries(props).filter(([key]) => !stored.includes(key))) };
    },

    async update(context, id, olds, news) {
      const decoded = decodeProperties(news);
      return recordingHalfMade(decoded, async () => {
        if (definition.update === undefined) {
          throw new Error(
            `Unable to update ${token} ${id}: it belongs to a run that has ended. Run pulumi destroy first, then up.`,
          );
        }
        const before = storedOutputs(decodeProperties(olds));
        return { outs: encode(await definition.update(context, complete(decoded), before), decoded) };
      });
    },

    async delete(context, outputs) {
      await definition.delete?.(context, decodeProperties(outputs).values);
    },
  };
}

function withoutKeys(decoded: Decoded, keys: readonly string[]): Decoded {
  return {
    ...decoded,
    values: Object.fromEntries(Object.entries(decoded.values).filter(([key]) => !keys.includes(key))),
  };
}
