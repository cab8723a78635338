#!/bin/bash
# Starts PostgreSQL the way users of the official image expect: on an empty data folder it makes a cluster with
# POSTGRES_USER (default postgres), POSTGRES_PASSWORD and POSTGRES_DB (default: as the user), and runs the *.sql and *.sh
# files of /docker-entrypoint-initdb.d. Each of the variables may be given as NAME_FILE, a file that holds the value.
# Other commands than postgres are run as they are.
set -euo pipefail

fail() {
  echo "Unable to start PostgreSQL: $*" >&2
  exit 1
}

# The value of a variable, or the content of the file that NAME_FILE names, or the default.
setting() {
  local file="${1}_FILE"
  if [[ -n "${!1:-}" && -n "${!file:-}" ]]; then fail "both $1 and $file are set. Set one of them."; fi
  if [[ -n "${!file:-}" ]]; then
    [[ -r "${!file}" ]] || fail "$file names ${!file}, which can't be read. Mount the file."
    cat -- "${!file}"
  else
    printf '%s' "${!1:-$2}"
  fi
}

# psql against the server of the first start, which listens on its socket only.
first_start_psql() {
  psql --no-psqlrc --set ON_ERROR_STOP=1 --no-password --username "$user" --dbname "${1:-$database}"
}

make_cluster() {
  local password
  user=$(setting POSTGRES_USER postgres)
  database=$(setting POSTGRES_DB "$user")
  password=$(setting POSTGRES_PASSWORD '')
  local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [[ -z "$password" && "$method" != trust ]]; then
    fail "POSTGRES_PASSWORD is empty and the data folder $PGDATA holds no database yet. Set POSTGRES_PASSWORD."
  fi
  local args=(--username="$user" --auth=trust --encoding=UTF8)
  # shellcheck disable=SC2206 # several options in one variable, as in the official image
  args+=(${POSTGRES_INITDB_ARGS:-})
  if [[ -n "$password" ]]; then
    initdb "${args[@]}" --pwfile=<(printf '%s\n' "$password") >/dev/null
  else
    initdb "${args[@]}" >/dev/null
  fi
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  # Single-user mode instead of a server of its own: a start and a stop less, which are slow on an emulated CPU.
  if [[ "$database" != postgres ]]; then
    printf 'CREATE DATABASE "%s"\n' "${database//\"/\"\"}" | postgres --single -j postgres >/dev/null
  fi
  local scripts=(/docker-entrypoint-initdb.d/*)
  if [[ -e "${scripts[0]}" ]]; then
    run_scripts "${scripts[@]}"
  fi
  echo "PostgreSQL: made the cluster in $PGDATA with the database \"$database\" of the user \"$user\"."
}

run_scripts() {
  export PGHOST=/var/run/postgresql POSTGRES_USER="$user" POSTGRES_DB="$database"
  pg_ctl --wait --options="-c listen_addresses=''" start >/dev/null
  local script
  for script in "$@"; do
    echo "PostgreSQL: running $script"
    case "$script" in
      *.sh) bash "$script" ;;
      *.sql) first_start_psql <"$script" ;;
      *) echo "PostgreSQL: skipped $script, which is neither *.sh nor *.sql" ;;
    esac
  done
  pg_ctl --wait --mode=fast stop >/dev/null
  unset PGHOST
}

if [[ "${1:-}" == -* ]]; then set -- postgres "$@"; fi
[[ "${1:-}" == postgres ]] || exec "$@"

if [[ "$(id -u)" == 0 ]]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown postgres:postgres /var/run/postgresql
  find "$PGDATA" \! -user postgres -exec chown postgres:postgres {} +
  chmod 0700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
export HOME=/var/lib/postgresql
[[ -s "$PGDATA/PG_VERSION" ]] || make_cluster
exec "$@"
