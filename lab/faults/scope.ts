/** Which calls, VMs or storages a fault meets, and how often. */
import { z } from "zod";
import { FAULTS, type FaultName } from "./catalogue";

export const faultScopeSchema = z.strictObject({
  /** Calls: method or `*`, and a path whose `{…}` segments match anything: `GET /nodes/{node}/tasks/{upid}/status`. */
  on: z
    .string()
    .regex(/^(?:GET|POST|PUT|DELETE|\*) (?:\/[^/\s]+)+$/, "a method or *, and a path, such as GET /nodes/{node}/status")
    .optional(),
  /** VMID of the VM that is restored or started; absent: any. */
  vm: z.number().int().positive().optional(),
  /** Id of the storage that is offline. */
  storage: z.string().min(1).optional(),
  /** How many times that would be met are let pass first. Default: none. */
  after: z.number().int().nonnegative().optional(),
  /** How many times are met after that; absent: all, until the fault is switched off. */
  times: z.number().int().positive().optional(),
});
export type FaultScope = z.infer<typeof faultScopeSchema>;

/** Which parts of a scope mean something for a kind of fault. */
const PARTS = {
  call: ["on", "after", "times"],
  restore: ["vm", "after", "times"],
  clock: ["vm", "after", "times"],
  network: ["vm", "after", "times"],
  storage: ["storage"],
} as const;

/**
 * The scope, read and checked.
 *
 * @throws Error with every problem
 */
export function parseScope(name: FaultName, value: unknown): FaultScope {
  const parsed = faultScopeSchema.safeParse(value);
  if (!parsed.success) {
    throw refused(
      name,
      parsed.error.issues.map((issue) => `${issue.path.join(".") || "scope"}: ${issue.message}`),
    );
  }
  const { kind } = FAULTS[name];
  const parts: readonly string[] = PARTS[kind];
  const problems = Object.keys(parsed.data).flatMap((part) =>
    parts.includes(part) ? [] : [`${part}: means nothing for this fault, which takes ${parts.join(", ")}`],
  );
  if (kind === "storage" && parsed.data.storage === undefined) problems.push("storage: missing; name the storage");
  if (problems.length > 0) throw refused(name, problems);
  return parsed.data;
}

function refused(name: FaultName, problems: readonly string[]): Error {
  return new Error(`Unable to switch on the fault ${name}: ${problems.join("; ")}. Correct these and try again.`);
}

/** Whether a call is of the pattern; no pattern means every call. */
export function matchesCall(pattern: string | undefined, method: string, path: string): boolean {
  if (pattern === undefined) return true;
  const [wantedMethod = "", wantedPath = ""] = pattern.split(" ");
  if (wantedMethod !== "*" && wantedMethod !== method) return false;
  const wanted = wantedPath.split("/").filter(Boolean);
  const parts = path.split("/").filter(Boolean);
  return wanted.length === parts.length && wanted.every((part, at) => /^\{.+\}$/.test(part) || part === parts[at]);
}
