/** What one service file may contain, checked before anything is made from it. */
import { z } from "zod";
import type { ServiceSpec } from "../spec";
import { matching, nonEmpty } from "./text-schema";

const port = z.int("a port number from 1 to 65535").min(1).max(65535);
const seconds = z.int("whole seconds").positive();

/** Lower-case DNS label: container name, network alias, logical name. Docker wants two characters at least. */
const serviceName = matching(
  /^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$/,
  "lower-case letters, digits and inner hyphens, 2 to 63",
);
const hostLabel = matching(
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
  "lower-case host label below the zone, such as rss",
);
const identifier = matching(/^[a-z_][a-z0-9_]*$/, "a lower-case SQL name of letters, digits and underscores");
const containerPath = matching(/^\/[^:]*[^/:]$/, "an absolute path without a colon and without a last slash");
const volumeName = matching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/, "letters, digits, underscores, dots and hyphens");

const IMAGE_FORM = "an image reference with a version as tag (not latest) or a digest, such as postgres:15-bookworm";

/** Tag or digest that names a version; what else a name may contain is the engine's to judge. */
const imageReference = matching(
  /^[a-z0-9][^\s@]*(:(?!latest(@|$))\w[\w.-]{0,127}(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$/,
  IMAGE_FORM,
);

const environmentValue = z.union(
  [
    z.string(),
    z.strictObject({
      secret: matching(/^[a-z][A-Za-z0-9]*$/, "a key in camelCase, such as postgresPassword"),
      format: z.string().includes("{}", { error: "a text with {} where the secret goes" }).optional(),
    }),
  ],
  { error: "a text, or { secret: <key>, format?: <text with {}> }" },
);

const httpSmokeTest = z.strictObject({
  kind: z.literal("http"),
  name: z.string().min(1),
  path: z.string().startsWith("/", "a path with a leading slash"),
  expectStatus: z.int("an HTTP status from 100 to 599").min(100).max(599),
  expectBodyIncludes: z.string().min(1).optional(),
});

const sqlSmokeTest = z.strictObject({
  kind: z.literal("sql"),
  name: z.string().min(1),
  server: z.string(),
  database: z.string().min(1),
  user: z.string().min(1),
  query: z.string().min(1),
  expect: z.union([z.strictObject({ atLeast: z.number() }), z.strictObject({ equals: z.string() })], {
    error: "{ atLeast: <number> } or { equals: <text> }",
  }),
});

const nfsExport = z.strictObject({
  server: z.union([z.ipv4(), z.ipv6()], { error: "an IP address such as 192.168.20.10" }),
  export: matching(/^\/[^,\s]*$/, "an absolute path without commas and spaces"),
  options: matching(/^[^\s,=]+(=[^\s,]+)?(,[^\s,=]+(=[^\s,]+)?)*$/, "options such as ro,nfsvers=4.1").optional(),
});

/** One service file. Equals the type `ServiceSpec`. */
export const serviceSpecSchema = z.strictObject({
  name: serviceName,
  purpose: nonEmpty("one sentence for people"),
  image: imageReference,
  entrypoint: z.array(z.string()).min(1).optional(),
  command: z.array(z.string()).min(1).optional(),
  environment: z.record(matching(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable name"), environmentValue).optional(),
  ports: z
    .array(z.strictObject({ hostPort: port, containerPort: port, protocol: z.enum(["tcp", "udp"]).optional() }))
    .optional(),
  volumes: z.array(z.strictObject({ volume: volumeName, path: containerPath, nfs: nfsExport.optional() })).optional(),
  route: z.strictObject({ host: hostLabel, containerPort: port, exposure: z.enum(["lan", "public"]) }).optional(),
  healthCheck: z
    .strictObject({
      command: z.array(z.string()).min(1),
      intervalSeconds: seconds,
      timeoutSeconds: seconds,
      retries: z.int().positive(),
      startPeriodSeconds: z.int("whole seconds").nonnegative(),
    })
    .optional(),
  smokeTests: z.array(z.discriminatedUnion("kind", [httpSmokeTest, sqlSmokeTest], { error: "http or sql" })).optional(),
  canary: z
    .strictObject({
      server: z.string(),
      database: z.string().min(1),
      user: z.string().min(1),
      table: identifier,
      intervalSeconds: seconds,
    })
    .optional(),
  reverseProxy: z.strictObject({ rootCertificatePath: containerPath }).optional(),
  data: z.enum(["none", "rebuildable", "essential"]),
  inDrill: z.enum(["must-run", "cut-off"], { error: "must-run or cut-off" }).optional(),
  inDrillReason: nonEmpty("one sentence that says why").optional(),
  dependsOn: z.array(z.string()).optional(),
}) satisfies z.ZodType<ServiceSpec>;
