/** Which of a VM's archives a run restores: pure, so that a preview and the update after it choose the same. */
import { createHash } from "node:crypto";
import { agreesWithCtime, parseArchiveName } from "../pve/archive-name";
import type { BackupItem } from "../pve/nodes/storage";
import type { RestorePointChoice } from "./contract/run";

const DAY_SECONDS = 86_400;
/** How many archives an error lists. */
const LISTED = 10;

/** A finished archive of the VM. */
export interface Candidate {
  readonly item: BackupItem;
  /** Time in the name, read as UTC. */
  readonly wallClockSeconds: number;
  /** Whether name and `ctime` may be the same moment. */
  readonly agrees: boolean;
}

/** Why no archive can be chosen: the cause and the advice of an error. */
export class NoChoice extends Error {
  constructor(
    readonly reason: string,
    readonly advice: string,
  ) {
    super(reason);
    this.name = "NoChoice";
  }
}

/** The item as a candidate; none for what is no finished archive of this VM. */
export function candidateOf(item: BackupItem, vmId: number): Candidate[] {
  const name = parseArchiveName(item.volid);
  if (name === undefined || name.vmId !== vmId) return [];
  return [{ item, wallClockSeconds: name.wallClockSeconds, agrees: agreesWithCtime(name, item.ctime) }];
}

/**
 * Chooses one of at least one candidate.
 *
 * `random` is drawn by hashing the UTC date, the VMID and each archive's name, and taking the smallest: all day long the same
 * one, unless an archive comes or goes.
 *
 * @throws NoChoice that names what there is
 */
export function chooseCandidate(
  candidates: readonly Candidate[],
  choice: RestorePointChoice,
  { vmId, now }: { readonly vmId: number; readonly now: Date },
): Candidate {
  switch (choice.choose) {
    case "latest":
      return newestOf(candidates);
    case "named":
      return named(candidates, choice.archive, vmId);
    case "before": {
      const until = Date.parse(choice.time) / 1000;
      const older = candidates.filter(({ item }) => item.ctime <= until);
      if (older.length > 0) return newestOf(older);
      throw new NoChoice(
        `no archive is from ${choice.time} or before (there are: ${listed(candidates)})`,
        "Choose a later time",
      );
    }
    case "random": {
      const today = now.toISOString().slice(0, 10);
      const from = Date.parse(today) / 1000 - choice.withinDays * DAY_SECONDS;
      const recent = candidates.filter(({ item }) => item.ctime >= from);
      const ranked = recent
        .map((candidate): [string, Candidate] => [hash(`${today} ${vmId} ${candidate.item.volid}`), candidate])
        .sort(([left], [right]) => (left < right ? -1 : 1));
      const [first] = ranked;
      if (first !== undefined) return first[1];
      throw new NoChoice(
        `no archive is from ${new Date(from * 1000).toISOString()} or later (there are: ${listed(candidates)})`,
        "Raise withinDays, or find out why no backup was made",
      );
    }
  }
}

function newestOf(candidates: readonly Candidate[]): Candidate {
  const newest = candidates.reduce((best, next) => (next.wallClockSeconds > best.wallClockSeconds ? next : best));
  const latest = candidates.reduce((best, next) => (next.item.ctime > best.item.ctime ? next : best));
  if (latest === newest || latest.item.ctime === newest.item.ctime) return newest;
  throw new NoChoice(
    `by name ${newest.item.volid} is the newest, by time ${latest.item.volid}`,
    "Name the archive to restore explicitly, and find out who renamed or copied one of them",
  );
}

function named(candidates: readonly Candidate[], archive: string, vmId: number): Candidate {
  const found = candidates.find(({ item }) => item.volid === archive);
  if (found !== undefined) return found;
  const name = parseArchiveName(archive);
  if (name === undefined) {
    throw new NoChoice(`"${archive}" is no name of a finished VM archive`, "Take one from the storage's content");
  }
  if (name.vmId !== vmId) {
    throw new NoChoice(`${archive} is an archive of VM ${name.vmId}`, `Name an archive of VM ${vmId}`);
  }
  throw new NoChoice(`${archive} is not on the storage (there are: ${listed(candidates)})`, "Name one of these");
}

function listed(candidates: readonly Candidate[]): string {
  const names = [...candidates].sort((left, right) => right.item.ctime - left.item.ctime).map(({ item }) => item.volid);
  const more = names.length > LISTED ? ` and ${names.length - LISTED} older` : "";
  return names.length === 0 ? "none" : `${names.slice(0, LISTED).join(", ")}${more}`;
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
