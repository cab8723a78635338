import type { ServiceSpec } from "./spec";

/**
 * On an empty database Miniflux makes its tables, this account and a category at start, and none of them has a time of its
 * making. The database has: PostgreSQL writes `PG_VERSION` into its folder once, when the database is created.
 */
const COUNT_RESTORED_ADMINS = `
select count(*)
from users, pg_database, pg_stat_file('base/' || pg_database.oid || '/PG_VERSION') as made
where username = 'admin' and datname = current_database() and made.modification < '{bootedAt}'
`.trim();

/** Feed reader that keeps everything it knows in PostgreSQL. */
export default {
  name: "miniflux",
  purpose: "Feed reader; its users, feeds and entries live in PostgreSQL.",
  image: "miniflux/miniflux:2.2.10",
  environment: {
    DATABASE_URL: {
      secret: "postgresPassword",
      format: "user=homelab password='{}' host=postgres dbname=miniflux sslmode=disable",
    },
    RUN_MIGRATIONS: "1",
    CREATE_ADMIN: "1",
    ADMIN_USERNAME: "admin",
    ADMIN_PASSWORD: { secret: "minifluxAdminPassword" },
    BASE_URL: "https://{hostName}/",
    // Feeds are fetched hourly; polling more often only costs.
    POLLING_FREQUENCY: "60",
  },
  route: { host: "rss", containerPort: 8080, exposure: "lan" },
  healthCheck: {
    command: ["/usr/bin/miniflux", "-healthcheck", "auto"],
    intervalSeconds: 15,
    timeoutSeconds: 10,
    retries: 5,
    startPeriodSeconds: 120,
  },
  smokeTests: [
    {
      kind: "http",
      name: "answers through the proxy",
      path: "/healthcheck",
      expectStatus: 200,
      expectBodyIncludes: "OK",
    },
    {
      kind: "sql",
      name: "the administrator's account came out of the backup",
      server: "postgres",
      database: "miniflux",
      user: "homelab",
      query: COUNT_RESTORED_ADMINS,
      expect: { equals: "1" },
    },
    {
      kind: "sql",
      name: "categories are there",
      server: "postgres",
      database: "miniflux",
      user: "homelab",
      query: "select count(*) from categories",
      expect: { atLeast: 1 },
    },
  ],
  data: "essential",
  dependsOn: ["postgres"],
} satisfies ServiceSpec;
