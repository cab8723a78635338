import type { ServiceSpec } from "./spec";

/** One database server for everything in the catalogue that keeps relational data. */
export default {
  name: "postgres",
  purpose: "Database server of the homelab's services.",
  image: "postgres:15-bookworm",
  environment: {
    POSTGRES_USER: "homelab",
    POSTGRES_PASSWORD: { secret: "postgresPassword" },
    POSTGRES_DB: "miniflux",
  },
  volumes: [{ volume: "postgres-data", path: "/var/lib/postgresql/data" }],
  healthCheck: {
    // With -h: while the image initialises its data, a temporary server answers on the socket only.
    command: ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "homelab", "-d", "miniflux"],
    intervalSeconds: 15,
    timeoutSeconds: 10,
    retries: 5,
    startPeriodSeconds: 120,
  },
  data: "essential",
} satisfies ServiceSpec;
