import * as path from "node:path";

import type { ImageRecipe } from "../recipe";
import { BASE_LAYER, BASE_PATH } from "./base";

const MAJOR = "15";

/**
 * Debian's PostgreSQL, used as the official image (https://hub.docker.com/_/postgres) is: same variables, data folder,
 * user and ports. The tag is the rolling one, because Debian decides the minor version. Differences: locale C.UTF-8
 * (official: en_US.utf8), no JIT (its compiler library is larger than all the rest).
 */
export const POSTGRES: ImageRecipe = {
  repository: "library/postgres",
  tags: [`${MAJOR}-bookworm`],
  layer: {
    name: "postgres",
    below: BASE_LAYER,
    packages: [
      `postgresql-${MAJOR}`,
      `postgresql-client-${MAJOR}`,
      "libaudit1",
      "libcap2",
      "libcom-err2",
      "libgcrypt20",
      "libffi8",
      "libgnutls30",
      "libgpg-error0",
      "libgssapi-krb5-2",
      "libhogweed6",
      "libicu72",
      "libidn2-0",
      "libk5crypto3",
      "libkeyutils1",
      "libkrb5-3",
      "libkrb5support0",
      "libldap-2.5-0",
      "liblz4-1",
      "liblzma5",
      "libnettle8",
      "libp11-kit0",
      "libpam0g",
      "libpq5",
      "libreadline8",
      "libsasl2-2",
      "libssl3",
      "libstdc++6",
      "libsystemd0",
      "libtasn1-6",
      "libunistring2",
      "libuuid1",
      "libxml2",
      "libxslt1.1",
      "libzstd1",
      "readline-common",
      "zlib1g",
    ],
    exclude: [
      "usr/share/man",
      "usr/share/info",
      "usr/share/locale",
      "usr/share/lintian",
      "usr/share/gdb",
      "usr/share/doc/*/[!c]*",
      "usr/share/doc/*/changelog*",
      `usr/lib/postgresql/${MAJOR}/lib/pgxs`,
      `usr/share/postgresql/${MAJOR}/man`,
      `usr/lib/postgresql/${MAJOR}/lib/bitcode`,
      `usr/lib/postgresql/${MAJOR}/lib/llvmjit*`,
    ],
    files: { "usr/local/bin/docker-entrypoint.sh": path.join(__dirname, "postgres", "docker-entrypoint.sh") },
    finish: `
      root=$1
      echo 'postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/bash' >>"$root"/etc/passwd
      echo 'postgres:x:999:' >>"$root"/etc/group
      sample=$root/usr/share/postgresql/${MAJOR}/postgresql.conf.sample
      sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/; s/^#jit = on/jit = off/" "$sample"
      grep -q "^listen_addresses = '\\*'" "$sample"
      grep -q '^jit = off' "$sample"
      install -d -m 0755 "$root"/docker-entrypoint-initdb.d
      install -d -o 999 -g 999 -m 1777 "$root"/var/lib/postgresql "$root"/var/lib/postgresql/data
      install -d -o 999 -g 999 -m 3777 "$root"/var/run/postgresql
    `,
  },
  config: {
    Env: [
      `${BASE_PATH}:/usr/lib/postgresql/${MAJOR}/bin`,
      `PG_MAJOR=${MAJOR}`,
      "PGDATA=/var/lib/postgresql/data",
      "LANG=C.UTF-8",
    ],
    Entrypoint: ["docker-entrypoint.sh"],
    Cmd: ["postgres"],
    ExposedPorts: { "5432/tcp": {} },
    Volumes: { "/var/lib/postgresql/data": {} },
    StopSignal: "SIGINT",
  },
};
