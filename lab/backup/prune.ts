/**
 * Retention of archives exactly as PVE does it. Source: `prune_mark_backup_group` and `validate_prune_backups` of
 * pve-storage, `prune_backups` of its storage plugin.
 */
import { KEEP_OPTIONS } from "../retention";
import { type PruneCandidate, type PruneEntry, type PruneMark, type Retention } from "./types";

type KeepCount = (typeof KEEP_OPTIONS)[keyof typeof KEEP_OPTIONS];

/** ISO 8601 week and its year, local time (`%V/%G`): the week belongs to the year of its Thursday. */
function isoWeek(date: Date): string {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 3 - ((date.getDay() + 6) % 7));
  const firstOfYear = new Date(thursday.getFullYear(), 0, 1);
  const days = Math.round((thursday.getTime() - firstOfYear.getTime()) / 86_400_000);
  return `${Math.floor(days / 7) + 1}/${thursday.getFullYear()}`;
}

/** The periods in PVE's order, each with the name of the period that a time falls into. Local time of the node. */
const PERIODS: readonly { option: KeepCount; period: (ctime: number) => string }[] = [
  { option: "keepLast", period: (ctime) => String(ctime) },
  {
    option: "keepHourly",
    period: (ctime) => {
      const date = new Date(ctime * 1000);
      return `${date.getHours()}/${date.toDateString()}`;
    },
  },
  { option: "keepDaily", period: (ctime) => new Date(ctime * 1000).toDateString() },
  { option: "keepWeekly", period: (ctime) => isoWeek(new Date(ctime * 1000)) },
  {
    option: "keepMonthly",
    period: (ctime) => {
      const date = new Date(ctime * 1000);
      return `${date.getMonth()}/${date.getFullYear()}`;
    },
  },
  { option: "keepYearly", period: (ctime) => String(new Date(ctime * 1000).getFullYear()) },
];

/** True when nothing would ever be removed. */
export function keepsAll(retention: Retention): boolean {
  return retention.keepAll === true || PERIODS.every(({ option }) => (retention[option] ?? 0) === 0);
}

/** How many archives the retention can keep at most; 0 is no limit. */
export function retentionLimit(retention: Retention): number {
  return keepsAll(retention) ? 0 : PERIODS.reduce((sum, { option }) => sum + (retention[option] ?? 0), 0);
}

/** The retention as vzdump's log names it: `keep-daily=7, keep-last=3`, sorted by name. */
export function printRetention(retention: Retention): string {
  if (keepsAll(retention)) return "keep-all=1";
  return Object.entries(KEEP_OPTIONS)
    .filter(([, option]) => retention[option] !== undefined)
    .map(([name, option]) => `${name}=${retention[option] ?? 0}`)
    .sort()
    .join(", ");
}

interface Marked {
  readonly ctime: number;
  mark?: PruneMark;
}

/** Keeps the newest of up to `count` new periods; periods that already hold a kept archive are skipped. */
function markPeriod(newestFirst: readonly Marked[], count: number, period: (ctime: number) => string): void {
  if (count === 0) return;
  const covered = new Set(newestFirst.filter((entry) => entry.mark === "keep").map((entry) => period(entry.ctime)));
  const added = new Set<string>();
  for (const entry of newestFirst) {
    const id = period(entry.ctime);
    if (entry.mark !== undefined || covered.has(id)) continue;
    if (added.has(id)) {
      entry.mark = "remove";
    } else {
      if (added.size >= count) break;
      added.add(id);
      entry.mark = "keep";
    }
  }
}

function markGroup(group: Marked[], retention: Retention): void {
  if (keepsAll(retention)) {
    for (const entry of group) entry.mark ??= "keep";
    return;
  }
  const newestFirst = [...group].sort((a, b) => b.ctime - a.ctime);
  for (const { option, period } of PERIODS) markPeriod(newestFirst, retention[option] ?? 0, period);
  for (const entry of newestFirst) entry.mark ??= "remove";
}

/**
 * Decides about each archive, in the given order. Groups are guest type and id; protected archives are never removed and do
 * not count, archives with another name than PVE's are left alone. What to do with the marks is the caller's.
 */
export function markForPrune(candidates: readonly PruneCandidate[], retention: Retention): PruneEntry[] {
  const groups = new Map<string, Marked[]>();
  const marked = candidates.map((candidate) => {
    const entry: Marked & { readonly candidate: PruneCandidate } = { candidate, ctime: candidate.ctime };
    if (candidate.vmid === undefined) {
      entry.mark = "renamed";
    } else {
      const key = `${candidate.type}/${candidate.vmid}`;
      const group = groups.get(key) ?? [];
      group.push(entry);
      groups.set(key, group);
    }
    if (candidate.protected) entry.mark = "protected";
    return entry;
  });
  for (const group of groups.values()) markGroup(group, retention);
  return marked.map(({ candidate, mark }) => ({
    volid: candidate.volid,
    ctime: candidate.ctime,
    ...(candidate.vmid === undefined ? {} : { vmid: candidate.vmid }),
    type: candidate.type,
    mark: mark ?? "keep",
  }));
}
