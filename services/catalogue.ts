/** Loads and checks the catalogue: every file of this folder but the specification and this one is a service. */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { checkReferences, type CatalogueFile } from "./checks/references";
import { printProblem, problemsOf } from "./checks/problem-text";
import { serviceSpecSchema } from "./checks/schema";
import type { ServiceSpec } from "./spec";

/** Files of this folder that are not services. */
const NOT_SERVICES = new Set(["spec.ts", "catalogue.ts"]);

/** The catalogue cannot be used. The message names every problem with its file, place and accepted form. */
export class CatalogueError extends Error {
  override readonly name = "CatalogueError";

  constructor(readonly problems: readonly string[]) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    super(`Unable to use the service catalogue: ${count}.\n${problems.map((problem) => `- ${problem}`).join("\n")}`);
  }
}

/**
 * Reads all services of a folder, dependencies first, else by name.
 * Throws `CatalogueError` with every problem of every file.
 */
export function loadCatalogue(folder: string = __dirname): ServiceSpec[] {
  const load = createRequire(path.join(folder, "catalogue.ts"));
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(".ts") && !NOT_SERVICES.has(file))
    .sort();
  return parseCatalogue(
    files.map((name): CatalogueContent => {
      const file = `services/${name}`;
      try {
        return { file, content: (load(`./${name}`) as { default?: unknown }).default };
      } catch (error) {
        return { file, content: undefined, failure: firstLine(error) };
      }
    }),
  );
}

/** What a file of the catalogue gave: its default export, or why it could not be loaded. */
export interface CatalogueContent {
  readonly file: string;
  readonly content: unknown;
  readonly failure?: string;
}

/** Messages of compilers go on with the source text. Errors of other realms are known by their shape. */
function firstLine(error: unknown): string {
  const message = typeof error === "object" && error !== null && "message" in error ? error.message : error;
  return (
    String(message)
      .replace(/^Transform failed[^\n]*\n/, "")
      .split("\n")[0]
      ?.replace(/\.+$/, "") ?? ""
  );
}

/** Checks services and puts them in start order. Pure. Throws `CatalogueError` with every problem. */
export function parseCatalogue(files: readonly CatalogueContent[]): ServiceSpec[] {
  const problems: string[] = [];
  const services: CatalogueFile[] = [];
  const unusable: string[] = [];
  for (const { file, content, failure } of files) {
    const parsed = serviceSpecSchema.safeParse(content);
    if (parsed.success) {
      services.push({ file, spec: parsed.data });
      continue;
    }
    unusable.push(path.basename(file, ".ts"));
    if (failure !== undefined) problems.push(`${file}: can't be loaded: ${failure}. Correct it.`);
    else if (content === undefined) {
      problems.push(`${file}: has no default export. Export the service: export default { … } satisfies ServiceSpec.`);
    } else {
      const found = parsed.error.issues.flatMap((issue) => problemsOf(issue, content));
      problems.push(...found.map((problem) => `${file}: ${printProblem(problem)}`));
    }
  }
  problems.push(...checkReferences(services, unusable));
  if (problems.length > 0) {
    throw new CatalogueError(files.flatMap(({ file }) => problems.filter((line) => line.startsWith(`${file}: `))));
  }
  return startOrder(services.map(({ spec }) => spec));
}

/** Keys of all secrets that the catalogue asks for, sorted, each once. */
export function secretKeys(services: readonly ServiceSpec[]): string[] {
  const values = services.flatMap(({ environment }) => Object.values(environment ?? {}));
  return [...new Set(values.flatMap((value) => (typeof value === "string" ? [] : [value.secret])))].sort();
}

/** Depth first over sorted names, so that the order does not depend on the file system. Expects no cycles. */
function startOrder(services: readonly ServiceSpec[]): ServiceSpec[] {
  const byName = new Map(services.map((service) => [service.name, service]));
  const ordered = new Set<ServiceSpec>();
  const visit = (service: ServiceSpec): void => {
    for (const name of [...(service.dependsOn ?? [])].sort()) {
      const dependency = byName.get(name);
      if (dependency && !ordered.has(dependency)) visit(dependency);
    }
    ordered.add(service);
  };
  for (const name of [...byName.keys()].sort()) {
    const service = byName.get(name);
    if (service) visit(service);
  }
  return [...ordered];
}
