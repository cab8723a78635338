/** What must hold between services: unique names, known references, no cycles. */
import path from "node:path";
import type { ServiceSpec } from "../spec";

/** A service with the file it stands in. */
export interface CatalogueFile {
  readonly file: string;
  readonly spec: ServiceSpec;
}

/** Port that prod itself needs on the Docker VM. */
const SSH_PORT = 22;

/**
 * Every problem between services, one line each. Pure. `unusable` are names of files that are wrong in themselves: what refers
 * to them, or may stand in them, is no problem of its own.
 */
export function checkReferences(services: readonly CatalogueFile[], unusable: readonly string[] = []): string[] {
  return [
    ...services.flatMap(checkFileName),
    ...duplicates(services, "name", ({ name }) => [name]),
    ...duplicates(services, "route.host", ({ route }) => (route ? [route.host] : [])),
    ...duplicates(services, "ports", ({ ports = [] }) =>
      ports.map(({ hostPort, protocol = "tcp" }) => `${hostPort}/${protocol}`),
    ),
    ...duplicates(services, "volumes", ({ volumes = [] }) => volumes.map(({ volume }) => volume)),
    ...services.flatMap(checkWithinService),
    ...checkNamedServices(services, unusable),
    ...services.flatMap(checkCutOff),
    ...checkNeedsOfDrill(services),
    ...checkCycles(services),
    ...checkSingletons(services, unusable.length === 0),
  ];
}

function checkFileName({ file, spec }: CatalogueFile): string[] {
  const expected = `${spec.name}.ts`;
  if (path.basename(file) === expected) return [];
  return [`${file}: name: "${spec.name}" differs from the file's name. Rename the file to ${expected}.`];
}

/** Values that must be unique in the whole catalogue. */
function duplicates(
  services: readonly CatalogueFile[],
  place: string,
  valuesOf: (spec: ServiceSpec) => readonly string[],
): string[] {
  const firstUse = new Map<string, string>();
  const problems: string[] = [];
  for (const { file, spec } of services) {
    for (const value of valuesOf(spec)) {
      const first = firstUse.get(value);
      if (first === undefined) firstUse.set(value, file);
      else problems.push(`${file}: ${place}: "${value}" is already used in ${first}. Choose another.`);
    }
  }
  return problems;
}

function checkWithinService({ file, spec }: CatalogueFile): string[] {
  const problems: string[] = [];
  const { route, volumes = [], smokeTests = [], ports = [], reverseProxy } = spec;
  if (!route) {
    for (const test of smokeTests.filter(({ kind }) => kind === "http")) {
      problems.push(
        `${file}: smokeTests: "${test.name}" is an HTTP test without a route. Add a route or remove the test.`,
      );
    }
    for (const [name, value] of Object.entries(spec.environment ?? {})) {
      if (typeof value === "string" && value.includes("{hostName}")) {
        problems.push(`${file}: environment.${name}: {hostName} needs a route. Add a route or write the name out.`);
      }
    }
  }
  for (const repeated of repeats(smokeTests.map(({ name }) => name))) {
    problems.push(`${file}: smokeTests: "${repeated}" stands there twice. Give each test a name of its own.`);
  }
  if (ports.some(({ hostPort, protocol = "tcp" }) => hostPort === SSH_PORT && protocol === "tcp")) {
    problems.push(`${file}: ports: "${SSH_PORT}/tcp" is the Docker VM's own, for SSH. Choose another.`);
  }
  for (const repeated of repeats(ports.map((port) => `${port.containerPort}/${port.protocol ?? "tcp"}`))) {
    problems.push(`${file}: ports: container port ${repeated} is published twice. Publish it once.`);
  }
  for (const repeated of repeats(volumes.map((volume) => volume.path))) {
    problems.push(`${file}: volumes: path "${repeated}" is mounted twice. Mount one volume there.`);
  }
  if (reverseProxy) {
    for (const kept of ["/etc/caddy/Caddyfile", reverseProxy.rootCertificatePath]) {
      if (volumes.some((volume) => kept.startsWith(`${volume.path}/`))) continue;
      problems.push(
        `${file}: volumes: "${kept}" lies in none and would be lost with the container. Mount one above it.`,
      );
    }
  }
  return problems;
}

function checkNamedServices(services: readonly CatalogueFile[], unusable: readonly string[]): string[] {
  const names = new Set([...services.map(({ spec }) => spec.name), ...unusable]);
  const known = [...names].sort().join(", ");
  return services.flatMap(({ file, spec }) => {
    const references = [
      ...(spec.dependsOn ?? []).map((name) => ({ place: "dependsOn", name })),
      ...(spec.smokeTests ?? []).flatMap((test) =>
        test.kind === "sql" ? [{ place: `smokeTests "${test.name}": server`, name: test.server }] : [],
      ),
      ...(spec.canary ? [{ place: "canary.server", name: spec.canary.server }] : []),
    ];
    return references
      .filter(({ name }) => !names.has(name))
      .map(({ place, name }) => `${file}: ${place}: "${name}" is not in the catalogue. Known services: ${known}.`);
  });
}

function checkCutOff({ file, spec }: CatalogueFile): string[] {
  const isCutOff = spec.inDrill === "cut-off";
  const mounted = (spec.volumes ?? []).filter(({ nfs }) => nfs !== undefined).map(({ volume }) => volume);
  const problems: string[] = [];
  if (isCutOff && spec.inDrillReason === undefined) {
    problems.push(`${file}: inDrillReason: missing. Say in one sentence why a drill can't run the service.`);
  }
  if (!isCutOff && spec.inDrillReason !== undefined) {
    problems.push(`${file}: inDrillReason: needs inDrill: "cut-off". Add that or remove the reason.`);
  }
  if (!isCutOff && mounted.length > 0) {
    problems.push(
      `${file}: inDrill: the volume ${mounted.join(", ")} is on a NAS, which a drill can't reach. Set inDrill: "cut-off".`,
    );
  }
  return problems;
}

/** A drill can't prove a service whose needs are cut off. */
function checkNeedsOfDrill(services: readonly CatalogueFile[]): string[] {
  const cutOff = new Set(services.filter(({ spec }) => spec.inDrill === "cut-off").map(({ spec }) => spec.name));
  const proxy = services.find(({ spec }) => spec.reverseProxy)?.spec.name;
  return services.flatMap(({ file, spec }) => {
    if (cutOff.has(spec.name)) return [];
    const needs = [
      ...(spec.dependsOn ?? []),
      ...(spec.smokeTests ?? []).flatMap((test) => (test.kind === "sql" ? [test.server] : proxy ? [proxy] : [])),
      ...(spec.canary ? [spec.canary.server] : []),
    ];
    return [...new Set(needs)]
      .filter((name) => cutOff.has(name))
      .map((name) => `${file}: inDrill: it must run, but needs ${name}, which is cut off. Cut it off too.`);
  });
}

/** One problem per cycle, however it is entered. */
function checkCycles(services: readonly CatalogueFile[]): string[] {
  const byName = new Map(services.map((service) => [service.spec.name, service]));
  const problems = new Map<string, string>();
  const done = new Set<string>();
  const visit = (name: string, trail: readonly string[]): void => {
    const start = trail.indexOf(name);
    if (start >= 0) {
      const cycle = trail.slice(start);
      const key = [...cycle].sort().join(" ");
      const file = byName.get(name)?.file ?? name;
      const way = [...cycle, name].join(" -> ");
      if (!problems.has(key)) problems.set(key, `${file}: dependsOn: cycle ${way}. Remove one of these dependencies.`);
      return;
    }
    if (done.has(name)) return;
    for (const next of byName.get(name)?.spec.dependsOn ?? []) visit(next, [...trail, name]);
    done.add(name);
  };
  for (const name of [...byName.keys()].sort()) visit(name, []);
  return [...problems.values()];
}

function checkSingletons(services: readonly CatalogueFile[], isComplete: boolean): string[] {
  const problems: string[] = [];
  const proxies = services.filter(({ spec }) => spec.reverseProxy);
  const canaries = services.filter(({ spec }) => spec.canary);
  const routed = services.filter(({ spec }) => spec.route);
  for (const [what, found] of [
    ["reverseProxy", proxies],
    ["canary", canaries],
  ] as const) {
    const [first, ...others] = found;
    for (const { file } of others) {
      problems.push(`${file}: ${what}: ${first?.file ?? ""} is the ${what} already. Keep one of them.`);
    }
  }
  const [firstRouted] = routed;
  if (firstRouted && proxies.length === 0 && isComplete) {
    problems.push(`${firstRouted.file}: route: no service is the reverse proxy. Add a service with reverseProxy.`);
  }
  return problems;
}

function repeats(values: readonly string[]): string[] {
  return [...new Set(values.filter((value, index) => values.indexOf(value) !== index))];
}
