/** The 25 services of the second homelab: the four that hold its data, and many small ones with odd but legal characters. */
import canary from "../../../services/recovery-canary";
import miniflux from "../../../services/miniflux";
import postgres from "../../../services/postgres";
import proxy from "../../../services/reverse-proxy";
import type { ServiceSpec } from "../../../services/spec";

const DB = "db-15";

const data: ServiceSpec[] = [
  { ...postgres, name: DB, volumes: [{ volume: "db-15_data.v1", path: "/var/lib/postgresql/data" }] },
  {
    ...miniflux,
    name: "feeds",
    environment: {
      ...miniflux.environment,
      DATABASE_URL: {
        secret: "postgresPassword",
        format: `user=homelab password='{}' host=${DB} dbname=miniflux sslmode=disable`,
      },
      ADMIN_USERNAME: "admin",
    },
    route: { host: "feeds.internal", containerPort: 8080, exposure: "lan" },
    smokeTests: miniflux.smokeTests.map((test) => (test.kind === "sql" ? { ...test, server: DB } : test)),
    dependsOn: [DB],
  },
  {
    ...canary,
    name: "canary-1",
    environment: { ...canary.environment, PGHOST: DB },
    canary: { ...canary.canary, server: DB },
    dependsOn: [DB],
  },
  {
    ...proxy,
    name: "edge",
    volumes: proxy.volumes.map(({ volume, path }) => ({ volume: volume.replace("reverse-proxy", "edge"), path })),
  },
];

/** Answers with its own text on every path. */
function answering(name: string, host: string, exposure: "lan" | "public", body: string): ServiceSpec {
  return {
    name,
    purpose: `Says "${body}".`,
    image: "caddy:2.11.1",
    entrypoint: ["caddy"],
    command: ["respond", "--listen", ":8080", "--body", body],
    route: { host, containerPort: 8080, exposure },
    smokeTests: [
      { kind: "http", name: `says ${body}`, path: "/a%20b?c=d&e='f'", expectStatus: 200, expectBodyIncludes: body },
    ],
    data: "none",
  };
}

export const ODD_VALUES: Readonly<Record<string, string>> = {
  QUOTES: `"double" 'single' \`back\``,
  SHELL: "$HOME ${PATH} $(id) | & ; < > * ? ~ !",
  EQUALS: "a=b=c",
  COMMENT: "# not a comment",
  UNICODE: "Zürich – 東京 🏠",
  LINES: "first\nsecond\tand a tab",
  BRACES: "{} {{.Names}} {unknown}",
  BACKSLASH: String.raw`C:\temp\new`,
  SPACES: "  around  ",
  EMPTY: "",
  lower_case: "yes",
};

const NAMES = [
  ...["a1", "b2", "00", "9-lives", "x--y", "very-long-name-that-has-exactly-sixty-three-characters-in-it-aa"],
  ...[
    "mqtt",
    "grafana-11",
    "n8n",
    "wiki",
    "dns-2",
    "vault1",
    "photo-sync",
    "rss-bridge",
    "paper",
    "git",
    "ci-runner",
    "tv",
  ],
];

// The image's stop signal is INT.
const small = NAMES.map((name, index): ServiceSpec => {
  return {
    name,
    purpose: `Sleeps; number ${index} of the small ones, with "odd" <characters> & values.`,
    image: "postgres:15-bookworm",
    entrypoint: ["bash", "-c", `trap 'exit 0' INT TERM; echo "it's ${name}: $QUOTES"; sleep infinity & wait`],
    environment: ODD_VALUES,
    ...(index % 3 === 0
      ? {
          ports: [
            { hostPort: 20_000 + index, containerPort: 7000 },
            { hostPort: 20_000 + index, containerPort: 7000, protocol: "udp" as const },
          ],
        }
      : {}),
    ...(index % 4 === 0 ? { volumes: [{ volume: `${name}_Data.v${index}`, path: "/srv/with space/ünïcode" }] } : {}),
    ...(index % 5 === 0 ? { dependsOn: [DB] } : {}),
    data: index % 4 === 0 ? "rebuildable" : "none",
  };
});

const tunnel: ServiceSpec = {
  name: "tunnel",
  purpose: "Ends at once where it has no way out.",
  image: "postgres:15-bookworm",
  entrypoint: ["bash", "-c", "trap 'exit 0' INT TERM; sleep infinity & wait"],
  data: "none",
  inDrill: "cut-off",
  inDrillReason: "It needs its provider's servers: a drill has no way out.",
};

export const SECOND_CATALOGUE: readonly ServiceSpec[] = [
  ...data,
  answering("hello-lan", "hello", "lan", "grüezi"),
  answering("hello-wan", "www", "public", "hello <b>&amp;</b>"),
  ...small,
  tunnel,
];
