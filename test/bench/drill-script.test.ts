import { readScriptRun, scriptChecks } from "../../bench/drill-script";
import { compare, type DrillRun } from "../../bench/drill-speed";
import type { ServiceSpec } from "../../services/spec";

const proxy: ServiceSpec = {
  name: "proxy",
  purpose: "Way in.",
  image: "caddy:2",
  reverseProxy: { rootCertificatePath: "/root.crt" },
  data: "none",
};
const feeds: ServiceSpec = {
  name: "feeds",
  purpose: "Feeds.",
  image: "feeds:1",
  healthCheck: { command: ["true"], intervalSeconds: 15, timeoutSeconds: 5, retries: 3, startPeriodSeconds: 10 },
  route: { host: "rss", containerPort: 80, exposure: "lan" },
  smokeTests: [
    { kind: "http", name: "answers", path: "/health", expectStatus: 200, expectBodyIncludes: "it's up" },
    {
      kind: "sql",
      name: "old",
      server: "db",
      database: "feeds",
      user: "me",
      query: "select 1 where made < '{bootedAt}'",
      expect: { equals: "1" },
    },
    {
      kind: "sql",
      name: "rows",
      server: "db",
      database: "feeds",
      user: "me",
      query: "select 2",
      expect: { atLeast: 2 },
    },
  ],
  canary: { server: "db", database: "postgres", user: "me", table: "stamps", intervalSeconds: 60 },
  data: "essential",
};
const tunnel: ServiceSpec = {
  name: "tunnel",
  purpose: "Way out.",
  image: "tunnel:1",
  inDrill: "cut-off",
  inDrillReason: "no way out",
  data: "none",
};

const context = {
  zone: "example.net",
  reverseProxy: "proxy",
  archiveTime: 1_795_249_111,
  code: new Map([["feeds", { image: "feeds:1@sha256:ab", digest: "sha256:ab" }]]),
  canarySkewSeconds: 5,
};

test("the script gets the drill's checks, each a call with quoted words, and none of what is cut off", () => {
  const lines = scriptChecks([proxy, feeds, tunnel], context).trimEnd().split("\n");
  expect(lines).toEqual([
    "container proxy running",
    "container feeds healthy",
    expect.stringMatching(/^deployment feeds feeds:1@sha256:ab sha256:ab sha256:[0-9a-f]{64}$/),
    "http rss.example.net /health 200 'it'\\''s up' proxy feeds",
    "sql db feeds me equals 1 'select 1 where made < to_timestamp({bootedAt})'",
    "sql db feeds me atLeast 2 'select 2'",
    "canary db postgres me stamps 60 5",
  ]);
});

const OUTPUT = [
  ...["phase restore 3.50", "phase verify 0.01", "phase start 0.10", "phase agent 10.00"],
  "phase isolation 4.00",
  ...["check http rss.example.net/health", "check container feeds", "phase checks 60.39", "phase remove 0.50", ""],
].join("\n");

test("what the script printed is read, and a phase that is missing is an error", () => {
  expect(readScriptRun(OUTPUT)).toEqual({
    phases: { restore: 3.5, verify: 0.01, start: 0.1, agent: 10, isolation: 4, checks: 60.39 },
    remove: 0.5,
    checks: 2,
  });
  expect(() => readScriptRun(OUTPUT.replace("phase agent 10.00\n", ""))).toThrow(
    "Unable to read what the drill's script took: it printed no phase agent.",
  );
});

test("the best runs are compared, whole and by phase, and only the whole has a target", () => {
  const phases = { restore: 4.2, verify: 0.1, start: 0.1, agent: 11, isolation: 4, checks: 61.6 };
  const drills: DrillRun[] = [
    { phases, up: 85.1, destroy: 2, checks: 2 },
    { phases: { ...phases, checks: 90 }, up: 110, destroy: 3, checks: 2 },
  ];
  const lines = compare(drills, [readScriptRun(OUTPUT), readScriptRun(OUTPUT.replace("60.39", "90.00"))]);
  const values = lines.map((line) => ("value" in line ? [line.what, Number(line.value.toFixed(2)), line.target] : []));
  expect(values).toEqual([
    ["drill, `pulumi up` whole, against the script", 1.09, { atMost: 1.15 }],
    ["drill, RTO, against the script", 1.04, { atMost: 1.15 }],
    ["drill, phase restore, against the script", 1.2, undefined],
    ["drill, phase verify, against the script", 10, undefined],
    ["drill, phase start, against the script", 1, undefined],
    ["drill, phase agent, against the script", 1.1, undefined],
    ["drill, phase isolation, against the script", 1, undefined],
    ["drill, phase checks, against the script", 1.02, undefined],
    ["drill, `pulumi destroy`, against the script's removal", 4, undefined],
  ]);
  expect(lines[1]).toMatchObject({ detail: "81.00 s, the script 78.00 s; best of 2 in turns; 2 checks, the script 2" });
});
