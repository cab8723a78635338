import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";

const SCRIPT = path.join(__dirname, "../../../lab/images/recipes/postgres/docker-entrypoint.sh");

/** Runs the script with programs in place of PostgreSQL's that note how they were called. It shows what the script decides,
 * not that PostgreSQL accepts it: the lab tests start the real one. */
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "homelab-entrypoint-"));
  mkdirSync(path.join(dir, "bin"));
  mkdirSync(path.join(dir, "data"));
  program("id", "echo 999");
  program(
    "initdb",
    `echo "initdb $*" >>"$CALLS"; for a; do case $a in --pwfile=*) cat "\${a#--pwfile=}" >>"$CALLS";; esac; done`,
  );
  program("postgres", `echo "postgres $*" >>"$CALLS"; case " $* " in *" --single "*) cat >>"$CALLS" ;; esac`);
});
afterEach(() => rmSync(dir, { recursive: true }));

function program(name: string, body: string): void {
  writeFileSync(path.join(dir, "bin", name), `#!/bin/bash\n${body}\n`, { mode: 0o755 });
}

function start(
  args: string[],
  env: Record<string, string> = {},
): { status: number | null; stderr: string; calls: string } {
  const calls = path.join(dir, "calls");
  writeFileSync(calls, "");
  const result = spawnSync("bash", [SCRIPT, ...args], {
    encoding: "utf8",
    env: { PATH: `${path.join(dir, "bin")}:/usr/bin:/bin`, PGDATA: path.join(dir, "data"), CALLS: calls, ...env },
  });
  return { status: result.status, stderr: result.stderr, calls: readFileSync(calls, "utf8") };
}

describe("the PostgreSQL image's entry point", () => {
  it("makes the cluster with user, password and database, then becomes the server", () => {
    const { status, calls } = start(["postgres"], {
      POSTGRES_USER: "homelab",
      POSTGRES_PASSWORD: "s3 cret",
      POSTGRES_DB: 'mini"flux',
    });
    expect(status).toBe(0);
    const lines = calls.trim().split("\n");
    expect(lines[0]).toMatch(/^initdb --username=homelab --auth=trust --encoding=UTF8 --pwfile=/);
    expect(lines.slice(1)).toEqual([
      "s3 cret",
      "postgres --single -j postgres",
      'CREATE DATABASE "mini""flux"',
      "postgres",
    ]);
    expect(readFileSync(path.join(dir, "data/pg_hba.conf"), "utf8")).toContain("host all all all scram-sha-256");
  });

  it("takes the password from a file", () => {
    const file = path.join(dir, "password");
    writeFileSync(file, "from-file\n");
    const { status, calls } = start(["postgres"], { POSTGRES_PASSWORD_FILE: file });
    expect(status).toBe(0);
    expect(calls).toContain("\nfrom-file\n");
  });

  it("refuses an empty data folder without a password, and both ways at once", () => {
    const none = start(["postgres"]);
    expect(none.status).toBe(1);
    expect(none.stderr).toContain("Unable to start PostgreSQL: POSTGRES_PASSWORD is empty");
    expect(none.calls).toBe("");
    const both = start(["postgres"], { POSTGRES_PASSWORD: "x", POSTGRES_PASSWORD_FILE: "/dev/null" });
    expect(both.status).toBe(1);
    expect(both.stderr).toContain("both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set");
  });

  it("leaves a data folder with a cluster alone", () => {
    writeFileSync(path.join(dir, "data/PG_VERSION"), "15\n");
    expect(start(["postgres", "-c", "work_mem=8MB"]).calls).toBe("postgres -c work_mem=8MB\n");
  });

  it("runs other commands as they are, and options as the server's", () => {
    program("psql", `echo "psql $*" >>"$CALLS"`);
    writeFileSync(path.join(dir, "data/PG_VERSION"), "15\n");
    expect(start(["psql", "-l"]).calls).toBe("psql -l\n");
    expect(start(["-c", "fsync=on"]).calls).toBe("postgres -c fsync=on\n");
  });
});
