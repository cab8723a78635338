/** The form of a rule. Rules are pure: the same resources and facts always have the same violations. */
import type { StackFacts } from "./facts";
import type { PolicyResource } from "./resource";

export interface Rule {
  readonly name: string;
  /** One sentence: what must hold. */
  readonly description: string;
  /** `mandatory` stops the preview, and with it the update; `advisory` warns. */
  readonly level: "mandatory" | "advisory";
  /** Judges a resource before it is made or changed. Each text says what is wrong and what to do. */
  readonly resource?: (resource: PolicyResource, facts: StackFacts) => readonly string[];
  /** Judges all resources of the stack together, at the end of the preview and again at the end of the update. */
  readonly stack?: (resources: readonly PolicyResource[], facts: StackFacts) => readonly StackViolation[];
}

export interface StackViolation {
  /** Of the resource it is about; absent: of the stack. */
  readonly urn?: string;
  readonly message: string;
}
