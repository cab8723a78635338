/** SQL in a PostgreSQL container of the restored guest, read-only. */
import type { CheckSpec } from "../contract/checks";
import { shorten } from "../text";
import { type ContainerWatch, describe, upState } from "./containers";
import type { Guest } from "./guest";
import { type Attempt, failed, notYet, type Outcome, passed, tryUntilDone } from "./outcome";

type SqlCheck = Extract<CheckSpec, { kind: "sql" }>;

/** Which database is asked. */
export interface Database {
  readonly container: string;
  readonly database: string;
  readonly user: string;
}

/** `docker exec … psql` for one statement whose bare value is printed. The session can't write. */
export function psqlCommand({ container, database, user }: Database, query: string): string[] {
  const readOnly = "PGOPTIONS=-c default_transaction_read_only=on";
  const psql = ["psql", "-X", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-c", query];
  return ["docker", "exec", "-e", readOnly, container, ...psql];
}

/** One value, or why there is none yet, or why there never will be. */
export type QueryResult = { readonly value: string } | { readonly attempt: Attempt };

/**
 * Asks one value. While the container is not up it is only looked at, together with all others that are waited for: `docker
 * exec` in a loop would keep a slow guest from booting.
 */
export async function queryValue(
  guest: Guest,
  watch: ContainerWatch,
  database: Database,
  query: string,
): Promise<QueryResult> {
  const look = upState(database.container, await watch.look(database.container));
  if ("attempt" in look) return look;
  if (look.state.health === "starting") return { attempt: notYet(describe(look.state)) };
  const { exitCode, stdout, stderr } = await guest.run(psqlCommand(database, query));
  return exitCode === 0
    ? { value: stdout.trim() }
    : { attempt: notYet(`${database.container}: ${shorten(stderr || `psql ended with ${exitCode}`)}`) };
}

const BOOTED_AT = "{bootedAt}";

/** Moment of the guest's boot from `/proc/stat`, ISO 8601 in UTC; undefined if it is not there. */
export function bootTime(procStat: string): string | undefined {
  const seconds = /^btime (\d+)$/m.exec(procStat)?.[1];
  return seconds === undefined ? undefined : new Date(Number(seconds) * 1000).toISOString();
}

/** When the guest booted by its own clock, or why that is not known yet. */
export async function readBootTime(guest: Guest): Promise<{ readonly time: string } | { readonly problem: string }> {
  const { exitCode, stdout, stderr } = await guest.run(["cat", "/proc/stat"]);
  const time = bootTime(stdout);
  if (exitCode === 0 && time !== undefined) return { time };
  return { problem: `the guest's boot time can't be read: ${shorten(stderr || "no btime in /proc/stat")}` };
}

/** Tries until the database answers; the first answer counts, because restored data does not change by waiting. */
export async function checkSql(guest: Guest, watch: ContainerWatch, check: SqlCheck): Promise<Outcome> {
  return tryUntilDone(guest, async () => {
    if (!check.query.includes(BOOTED_AT)) return ask(guest, watch, check, check.query);
    const boot = await readBootTime(guest);
    if ("problem" in boot) return notYet(boot.problem);
    const attempt = await ask(guest, watch, check, check.query.replaceAll(BOOTED_AT, boot.time));
    return "outcome" in attempt ? { outcome: underGuestClock(attempt.outcome, boot.time, check.archiveTime) } : attempt;
  });
}

async function ask(guest: Guest, watch: ContainerWatch, check: SqlCheck, query: string): Promise<Attempt> {
  const result = await queryValue(guest, watch, check, query);
  return "attempt" in result ? result.attempt : compareValue(check.expect, result.value);
}

/**
 * A guest whose clock is so far behind that it booted before its archive was made takes what the archive holds of that time for
 * new. What it takes for older is the archive's all the same; what it does not find proves nothing.
 */
function underGuestClock(outcome: Outcome, bootedAt: string, archiveTime: number): Outcome {
  if (outcome.status !== "failed" || Date.parse(bootedAt) >= archiveTime * 1000) return outcome;
  const made = new Date(archiveTime * 1000).toISOString();
  const detail =
    `${outcome.detail}; but by its own clock the guest booted at ${bootedAt}, before its archive was made (${made}): ` +
    "what the archive holds from between looks new";
  return { status: "skipped", detail };
}

function compareValue(expect: { atLeast: number } | { equals: string }, value: string): Attempt {
  if ("equals" in expect) {
    return value === expect.equals ? passed(`"${value}"`) : failed(`"${shorten(value)}", expected "${expect.equals}"`);
  }
  const number = value === "" ? Number.NaN : Number(value);
  return number >= expect.atLeast
    ? passed(`${value}, at least ${expect.atLeast} expected`)
    : failed(`"${shorten(value)}", expected at least ${expect.atLeast}`);
}
