import { CatalogueError, loadCatalogue, parseCatalogue, secretKeys } from "../../services/catalogue";
import type { ServiceSpec } from "../../services/spec";

const web: ServiceSpec = {
  name: "web",
  purpose: "Answers.",
  image: "nginx:1.29",
  data: "none",
};
const proxy: ServiceSpec = {
  name: "proxy",
  purpose: "Serves.",
  image: "caddy:2.11.1",
  volumes: [
    { volume: "etc", path: "/etc/caddy" },
    { volume: "data", path: "/data" },
  ],
  reverseProxy: { rootCertificatePath: "/data/root.crt" },
  data: "essential",
};

function parse(...specs: unknown[]): ServiceSpec[] {
  return parseCatalogue(
    specs.map((content) => ({ file: `services/${(content as Partial<ServiceSpec>).name ?? "nameless"}.ts`, content })),
  );
}

function problemsOf(...specs: unknown[]): readonly string[] {
  try {
    parse(...specs);
  } catch (error) {
    if (error instanceof CatalogueError) return error.problems;
    throw error;
  }
  return [];
}

describe("the project's own catalogue", () => {
  const catalogue = loadCatalogue();

  test("starts what others depend on first", () => {
    expect(catalogue.map(({ name }) => name)).toEqual(["postgres", "miniflux", "recovery-canary", "reverse-proxy"]);
  });

  test("names its secrets", () => {
    expect(secretKeys(catalogue)).toEqual(["minifluxAdminPassword", "postgresPassword"]);
  });
});

describe("start order", () => {
  test("goes by dependencies, then by name", () => {
    const a = { ...web, name: "aa", dependsOn: ["zz"] };
    const z = { ...web, name: "zz" };
    expect(parse(a, { ...web, name: "bb" }, z).map(({ name }) => name)).toEqual(["zz", "aa", "bb"]);
  });

  test("does not depend on the order of the files", () => {
    const specs = ["cc", "aa", "bb"].map((name) => ({ ...web, name }));
    expect(parse(...specs)).toEqual(parse(...specs.reverse()));
  });
});

describe("problems of one file", () => {
  test.each<[string, object, string]>([
    [
      "unknown key",
      { ...web, helthCheck: {} },
      "services/web.ts: helthCheck: unknown. Remove it or correct the spelling.",
    ],
    [
      "image without a version",
      { ...web, image: "nginx" },
      'services/web.ts: image: "nginx" is not accepted. Expected: an image reference with a version as tag (not latest) or a digest, such as postgres:15-bookworm.',
    ],
    [
      "image of no version",
      { ...web, image: "nginx:latest" },
      'services/web.ts: image: "nginx:latest" is not accepted. Expected: an image reference with a version as tag (not latest) or a digest, such as postgres:15-bookworm.',
    ],
    [
      "port out of range",
      { ...web, ports: [{ hostPort: 70000, containerPort: 80 }] },
      "services/web.ts: ports[0].hostPort: 70000 is not accepted. Expected: a port number from 1 to 65535.",
    ],
    [
      "missing data class",
      { ...web, data: undefined },
      "services/web.ts: data: missing. Expected: none or rebuildable or essential.",
    ],
    [
      "secret that is no key",
      { ...web, environment: { PASSWORD: { secret: "My Password" } } },
      'services/web.ts: environment.PASSWORD.secret: "My Password" is not accepted. Expected: a key in camelCase, such as postgresPassword.',
    ],
    [
      "HTTP test without a route",
      { ...web, smokeTests: [{ kind: "http", name: "answers", path: "/", expectStatus: 200 }] },
      'services/web.ts: smokeTests: "answers" is an HTTP test without a route. Add a route or remove the test.',
    ],
    [
      "host name without a route",
      { ...web, environment: { URL: "https://{hostName}/" } },
      "services/web.ts: environment.URL: {hostName} needs a route. Add a route or write the name out.",
    ],
    [
      "port published twice",
      {
        ...web,
        ports: [
          { hostPort: 1, containerPort: 80 },
          { hostPort: 2, containerPort: 80 },
        ],
      },
      "services/web.ts: ports: container port 80/tcp is published twice. Publish it once.",
    ],
    [
      "certificate outside of any volume",
      { ...proxy, name: "web", reverseProxy: { rootCertificatePath: "/tmp/root.crt" } },
      'services/web.ts: volumes: "/tmp/root.crt" lies in none and would be lost with the container. Mount one above it.',
    ],
  ])("%s", (_, spec, problem) => {
    expect(problemsOf(spec)).toEqual([problem]);
  });

  test("a file without a service", () => {
    expect(() => parseCatalogue([{ file: "services/x.ts", content: undefined }])).toThrow(
      "Unable to use the service catalogue: 1 problem.\n" +
        "- services/x.ts: has no default export. Export the service: export default { … } satisfies ServiceSpec.",
    );
  });

  test("a file whose name is another", () => {
    expect(() => parseCatalogue([{ file: "services/x.ts", content: web }])).toThrow(
      'services/x.ts: name: "web" differs from the file\'s name. Rename the file to web.ts.',
    );
  });
});

describe("problems between files", () => {
  const other = { ...web, name: "other" };

  test.each<[string, object[], string[]]>([
    [
      "same host name",
      [
        proxy,
        { ...web, route: { host: "www", containerPort: 80, exposure: "lan" } },
        { ...other, route: { host: "www", containerPort: 80, exposure: "lan" } },
      ],
      ['services/other.ts: route.host: "www" is already used in services/web.ts. Choose another.'],
    ],
    [
      "same port",
      [
        { ...web, ports: [{ hostPort: 53, containerPort: 53, protocol: "udp" }] },
        { ...other, ports: [{ hostPort: 53, containerPort: 5353, protocol: "udp" }] },
      ],
      ['services/other.ts: ports: "53/udp" is already used in services/web.ts. Choose another.'],
    ],
    [
      "same volume",
      [
        { ...web, volumes: [{ volume: "shared", path: "/a" }] },
        { ...other, volumes: [{ volume: "shared", path: "/b" }] },
      ],
      ['services/other.ts: volumes: "shared" is already used in services/web.ts. Choose another.'],
    ],
    [
      "unknown dependency",
      [{ ...web, dependsOn: ["postgre"] }, other],
      ['services/web.ts: dependsOn: "postgre" is not in the catalogue. Known services: other, web.'],
    ],
    [
      "a cycle, once",
      [
        { ...web, dependsOn: ["other"] },
        { ...other, dependsOn: ["web"] },
      ],
      ["services/other.ts: dependsOn: cycle other -> web -> other. Remove one of these dependencies."],
    ],
    [
      "a service that waits for itself",
      [{ ...web, dependsOn: ["web"] }],
      ["services/web.ts: dependsOn: cycle web -> web. Remove one of these dependencies."],
    ],
    [
      "route without a proxy",
      [{ ...web, route: { host: "www", containerPort: 80, exposure: "lan" } }],
      ["services/web.ts: route: no service is the reverse proxy. Add a service with reverseProxy."],
    ],
    [
      "two canaries",
      [web, other].map((spec) => ({
        ...spec,
        canary: { server: "web", database: "d", user: "u", table: "t", intervalSeconds: 60 },
      })),
      ["services/other.ts: canary: services/web.ts is the canary already. Keep one of them."],
    ],
  ])("%s", (_, specs, problems) => {
    expect(problemsOf(...specs)).toEqual(problems);
  });

  test("all at once", () => {
    expect(
      problemsOf(
        { ...web, dependsOn: ["x"], ports: [{ hostPort: 1, containerPort: 1 }] },
        {
          ...other,
          ports: [{ hostPort: 1, containerPort: 1 }],
          canary: { server: "y", database: "d", user: "u", table: "t", intervalSeconds: 60 },
        },
      ),
    ).toHaveLength(3);
  });
});

describe("services that a drill can't run", () => {
  const cutOff = { ...web, inDrill: "cut-off", inDrillReason: "It needs the NAS." };
  const nfs = { server: "192.168.20.10", export: "/tank/media", options: "ro,nfsvers=4.1" };

  test("say why, and may mount a NAS", () => {
    expect(parse({ ...cutOff, volumes: [{ volume: "media", path: "/media", nfs }] })).toHaveLength(1);
  });

  test.each<[string, Record<string, unknown>, string]>([
    [
      "no reason",
      { inDrill: "cut-off" },
      "services/web.ts: inDrillReason: missing. Say in one sentence why a drill can't run the service.",
    ],
    [
      "a reason alone",
      { inDrillReason: "Because." },
      'services/web.ts: inDrillReason: needs inDrill: "cut-off". Add that or remove the reason.',
    ],
    [
      "a NAS mount of a service that must run",
      { volumes: [{ volume: "media", path: "/media", nfs }] },
      'services/web.ts: inDrill: the volume media is on a NAS, which a drill can\'t reach. Set inDrill: "cut-off".',
    ],
  ])("%s is refused", (_, changes, problem) => {
    expect(problemsOf({ ...web, ...changes })).toEqual([problem]);
  });

  test("a NAS by name is refused, because the kernel knows no names", () => {
    const [problem] = problemsOf({
      ...cutOff,
      volumes: [{ volume: "media", path: "/m", nfs: { ...nfs, server: "nas.lan" } }],
    });
    expect(problem).toMatch(
      /^services\/web\.ts: volumes\[0\]\.nfs\.server: "nas\.lan".*an IP address such as 192\.168\.20\.10/,
    );
  });

  test("nothing that must run may need one", () => {
    const app = { ...web, name: "app", dependsOn: ["web"] };
    expect(problemsOf(cutOff, app)).toEqual([
      "services/app.ts: inDrill: it must run, but needs web, which is cut off. Cut it off too.",
    ]);
    expect(problemsOf(cutOff, { ...app, inDrill: "cut-off", inDrillReason: "It needs web." })).toEqual([]);
  });
});

test("a name of one character is refused, because Docker refuses it", () => {
  expect(problemsOf({ ...web, name: "x" })).toEqual([
    'services/x.ts: name: "x" is not accepted. Expected: lower-case letters, digits and inner hyphens, 2 to 63.',
  ]);
});
