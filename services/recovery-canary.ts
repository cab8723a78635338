import type { ServiceSpec } from "./spec";

const INTERVAL_SECONDS = 60;

/**
 * Writes one row each interval. The boot id tells rows of the running machine from rows that a restored copy adds after
 * its own start, so a drill never takes its own rows for recovered data. A week of rows is kept.
 *
 * `sleep` runs in the background because bash as process 1 answers a stop signal only between commands or in `wait`.
 */
const STAMP_FOREVER = `
trap 'exit 0' TERM INT
read -r boot_id < /proc/sys/kernel/random/boot_id
while true; do
  if psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --command="
    set client_min_messages to warning;
    create table if not exists recovery_canary (stamped_at timestamptz not null, boot_id uuid not null);
    insert into recovery_canary values (clock_timestamp(), '$boot_id');
    delete from recovery_canary where stamped_at < now() - interval '7 days';
  "; then
    touch /tmp/stamped
    pause=${INTERVAL_SECONDS}
  else
    pause=2
  fi
  sleep "$pause" & wait $!
done
`.trim();

/** The canary whose newest recovered row is the recovery point of a drill. */
export default {
  name: "recovery-canary",
  purpose:
    "Writes a time stamp into PostgreSQL each minute, from which a drill measures how much data a restore loses.",
  image: "postgres:15-bookworm",
  entrypoint: ["bash", "-c", STAMP_FOREVER],
  environment: {
    PGHOST: "postgres",
    PGUSER: "homelab",
    PGDATABASE: "postgres",
    PGPASSWORD: { secret: "postgresPassword" },
    PGCONNECT_TIMEOUT: "10",
  },
  healthCheck: {
    command: ["bash", "-c", `(( $(date +%s) - $(stat -c %Y /tmp/stamped) < ${3 * INTERVAL_SECONDS} ))`],
    intervalSeconds: 15,
    timeoutSeconds: 10,
    retries: 5,
    startPeriodSeconds: 120,
  },
  canary: {
    server: "postgres",
    database: "postgres",
    user: "homelab",
    table: "recovery_canary",
    intervalSeconds: INTERVAL_SECONDS,
  },
  data: "none",
  dependsOn: ["postgres"],
} satisfies ServiceSpec;
