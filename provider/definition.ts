/** What a resource of this provider is: its contract and what each step of its life does. */
import type { z } from "zod";
import type { PveClient } from "../pve/client";
import type { MessageKind } from "./engine-log";
import type { PropertyFailure } from "./validation";

/** What the steps of a resource work with. */
export interface ProviderContext {
  readonly client: PveClient;
  /** Aborted when the engine cancels or the process is told to end; every wait ends with it. */
  readonly signal: AbortSignal;
  /** Tells the person at the terminal something about this resource. No secrets. */
  readonly report: (kind: MessageKind, message: string) => void;
  /** Shortest time in milliseconds between two looks at a container's restart count. */
  readonly containerWindowMs: number;
}

/**
 * One resource type. `I` are the inputs as the schema gives them, `O` inputs and computed outputs, all plain values.
 * Steps that are left out do nothing.
 */
export interface ResourceDefinition<I extends object, O extends I> {
  readonly token: string;
  /** One sentence for the schema. */
  readonly description: string;
  readonly inputs: z.ZodType<I>;
  /** Computed outputs; all others are inputs. */
  readonly computed: Readonly<
    Record<Exclude<keyof O, keyof I> & string, "string" | "number" | "boolean" | "array" | "object">
  >;
  /** Inputs whose change replaces the resource; `all` of them where a step can't be done again in place. */
  readonly replaceOn: "all" | readonly (keyof I & string)[];
  /** For resources whose identity (VMID) can't exist twice. */
  readonly deleteBeforeReplace?: boolean;
  /** Refuses secret inputs: the resource writes them into evidence, which is plain text. */
  readonly refusesSecrets?: boolean;
  /** Further checks of valid inputs; `standing` is the present input when the resource already exists. */
  check?(context: ProviderContext, inputs: I, standing: I | undefined): Promise<PropertyFailure[]>;
  /** Whether the outside world differs from the recorded outputs although the inputs are equal. May repair files silently. */
  hasDrifted?(outputs: O): Promise<boolean>;
  create(context: ProviderContext, inputs: I): Promise<{ id: string; outputs: O }>;
  /** Present outputs; undefined when the resource is gone. */
  read?(context: ProviderContext, outputs: O): Promise<O | undefined>;
  update?(context: ProviderContext, inputs: I, outputs: O): Promise<O>;
  /** Reads for itself what it needs of the recorded outputs, because another version may have recorded them. */
  delete?(context: ProviderContext, recorded: Readonly<Record<string, unknown>>): Promise<void>;
}

/** Thrown by `create` or `update` when something was made although the step failed, so that the engine records it. */
export class HalfMade extends Error {
  constructor(
    message: string,
    readonly id: string,
    readonly outputs: object,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "HalfMade";
  }
}
