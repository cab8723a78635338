/** What an operator may write wrong in `services/`: one clear error each, with its exact text. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { loadCatalogue, parseCatalogue } from "../../services/catalogue";
import { CATALOGUE } from "./project";

type Name = keyof typeof CATALOGUE;
type Fields = Readonly<Record<string, unknown>>;

/** The message about the catalogue with some fields of its services replaced; `undefined` removes a field. */
function refusalOf(changes: Partial<Record<Name, Fields>>): string {
  const contents = Object.entries(CATALOGUE).map(([name, spec]) => ({
    file: `services/${name}.ts`,
    content: { ...spec, ...changes[name as Name] },
  }));
  try {
    parseCatalogue(contents);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("The catalogue was accepted.");
}

const route = { host: "www", containerPort: 80, exposure: "lan" };
const sqlTest = { kind: "sql", name: "rows", database: "d", user: "u", query: "select 1", expect: { atLeast: 1 } };

test.each<[string, Partial<Record<Name, Fields>>, string]>([
  ["unknown key", { web: { rout: {} } }, "services/web.ts: rout: unknown. Remove it or correct the spelling."],
  [
    "host name that another service has",
    { postgres: { route } },
    'services/web.ts: route.host: "www" is already used in services/postgres.ts. Choose another.',
  ],
  [
    "port that another service has",
    { web: { ports: [{ hostPort: 443, containerPort: 80 }] } },
    'services/web.ts: ports: "443/tcp" is already used in services/proxy.ts. Choose another.',
  ],
  [
    "port of the VM itself",
    { web: { ports: [{ hostPort: 22, containerPort: 22 }] } },
    'services/web.ts: ports: "22/tcp" is the Docker VM\'s own, for SSH. Choose another.',
  ],
  [
    "route without a proxy",
    { proxy: { reverseProxy: undefined } },
    "services/web.ts: route: no service is the reverse proxy. Add a service with reverseProxy.",
  ],
  [
    "unknown service to start after",
    { web: { dependsOn: ["postgre"] } },
    'services/web.ts: dependsOn: "postgre" is not in the catalogue. Known services: postgres, proxy, web.',
  ],
  [
    "unknown service to ask by SQL",
    { web: { smokeTests: [{ ...sqlTest, server: "db" }] } },
    'services/web.ts: smokeTests "rows": server: "db" is not in the catalogue. Known services: postgres, proxy, web.',
  ],
  [
    "unknown service of the canary",
    { web: { canary: { server: "db", database: "d", user: "u", table: "t", intervalSeconds: 60 } } },
    'services/web.ts: canary.server: "db" is not in the catalogue. Known services: postgres, proxy, web.',
  ],
  [
    "dependency cycle",
    { postgres: { dependsOn: ["web"] } },
    "services/postgres.ts: dependsOn: cycle postgres -> web -> postgres. Remove one of these dependencies.",
  ],
  [
    "route with a full name",
    { web: { route: { ...route, host: "WWW.example.net/" } } },
    'services/web.ts: route.host: "WWW.example.net/" is not accepted. Expected: lower-case host label below the zone, such as rss.',
  ],
])("%s", (_, changes, problem) => {
  expect(refusalOf(changes)).toBe(`Unable to use the service catalogue: 1 problem.\n- ${problem}`);
});

test("all problems of all files at once, in the order of the files; what refers to a wrong file is no problem", () => {
  expect(
    refusalOf({
      postgres: { image: "postgres", data: "vital" },
      web: { dependsOn: ["postgres", "cache"], ports: [{ hostPort: 443, containerPort: 80 }] },
    }),
  ).toBe(
    "Unable to use the service catalogue: 4 problems.\n" +
      '- services/postgres.ts: image: "postgres" is not accepted. Expected: an image reference with a version as tag (not latest) or a digest, such as postgres:15-bookworm.\n' +
      '- services/postgres.ts: data: "vital" is not accepted. Expected: none or rebuildable or essential.\n' +
      '- services/web.ts: ports: "443/tcp" is already used in services/proxy.ts. Choose another.\n' +
      '- services/web.ts: dependsOn: "cache" is not in the catalogue. Known services: postgres, proxy, web.',
  );
});

test("a file that can't be loaded is named beside the other problems", () => {
  const dir = mkdtempSync(path.join(tmpdir(), "homelab-services-"));
  try {
    writeFileSync(path.join(dir, "broken.ts"), 'throw new Error("no such thing");');
    writeFileSync(path.join(dir, "empty.ts"), "export {};");
    expect(() => loadCatalogue(dir)).toThrow(
      "Unable to use the service catalogue: 2 problems.\n" +
        "- services/broken.ts: can't be loaded: no such thing. Correct it.\n" +
        "- services/empty.ts: has no default export. Export the service: export default { … } satisfies ServiceSpec.",
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});
