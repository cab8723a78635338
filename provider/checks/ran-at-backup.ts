/** Which containers ran when a backup was made, read from the restored guest itself. */
import { shorten } from "../text";
import type { Guest } from "./guest";

/** A container as the restored guest's engine knows it. */
export interface FoundContainer {
  readonly name: string;
  /** `running`, `exited`, `restarting`, `created`, `paused`, `dead`. */
  readonly status: string;
  readonly hasHealthCheck: boolean;
  /** Milliseconds since the epoch by the guest's clock; 0: never started. */
  readonly startedAt: number;
  /** As `startedAt`; 0: never ended. Stays when the container is started again. */
  readonly finishedAt: number;
  readonly createdAt: number;
  /** Of the last end; 0 while it runs. */
  readonly exitCode: number;
  /** `no`, `on-failure`, `always`, `unless-stopped`. */
  readonly restartPolicy: string;
  /** Why the engine could not start it; empty if it could or did not try. */
  readonly error: string;
}

/** When a look into the guest was made, by the guest's clock; milliseconds since the epoch. */
export interface LookTimes {
  readonly bootedAt: number;
  /** The end of the look. */
  readonly seenAt: number;
}

/** What a look into the guest found. */
export type Finding =
  | (LookTimes & { readonly containers: readonly FoundContainer[] })
  /** There is no Docker; another engine may be there, by its command's name. */
  | { readonly hasNoDocker: true; readonly otherEngine?: string }
  /** The engine did not answer. */
  | { readonly problem: string };

const NO_DOCKER = "no-docker";

/** What runs containers elsewhere; their containers can't be judged here, but must not be taken for none. */
const OTHER_ENGINES = "podman nerdctl crictl k3s";

/**
 * The engine answers only when it has tried to start what it has to. The error goes last, because it may hold anything. An engine
 * whose command the agent does not find (snap's is not in its path) must not be taken for none.
 */
const SCRIPT = [
  "if ! command -v docker >/dev/null; then",
  "  for engine in /snap/bin/docker /run/docker.sock; do",
  '    if [ -e "$engine" ]; then',
  '      echo "there is $engine, but the guest agent finds no docker command; make a link to it in /usr/local/bin" >&2',
  "      exit 1",
  "    fi",
  "  done",
  `  for engine in ${OTHER_ENGINES}; do`,
  `    if command -v "$engine" >/dev/null; then echo "${NO_DOCKER} $engine"; exit 0; fi`,
  "  done",
  `  echo ${NO_DOCKER}`,
  "  exit 0",
  "fi",
  // Debian's podman-docker puts Podman behind Docker's name, with other words for what is asked below.
  `case "$(docker --version 2>/dev/null)" in *[Pp]odman*) echo "${NO_DOCKER} podman"; exit 0 ;; esac`,
  "set -e",
  "sed -n 's/^btime /btime\t/p' /proc/stat",
  "containers=$(docker ps --all --quiet --no-trunc)",
  `[ -z "$containers" ] || docker inspect --type container --format ` +
    `'container\t{{.Name}}\t{{.State.Status}}\t{{if .State.Health}}health{{end}}\t{{.State.StartedAt}}\t` +
    `{{.State.FinishedAt}}\t{{.Created}}\t{{.State.ExitCode}}\t{{.HostConfig.RestartPolicy.Name}}\t{{json .State.Error}}' $containers`,
  "date '+now\t%s'",
].join("\n");

/** Looks once. @throws NotTried, where the guest has no shell */
export async function findContainers(guest: Guest): Promise<Finding> {
  const { exitCode, stdout, stderr } = await guest.run(["sh", "-c", SCRIPT]);
  const [word, otherEngine] = stdout.trim().split(" ");
  if (exitCode === 0 && word === NO_DOCKER) {
    return { hasNoDocker: true, ...(otherEngine === undefined ? {} : { otherEngine }) };
  }
  if (exitCode !== 0) return { problem: shorten(stderr || `docker ended with ${exitCode}`) };
  const lines = stdout.split("\n").map((line) => line.split("\t"));
  const bootedAt = Number(lines.find(([kind]) => kind === "btime")?.[1]) * 1000;
  if (!(bootedAt > 0)) return { problem: "the guest's boot time can't be read from /proc/stat" };
  // date cuts the second off, in which a container may have been started.
  const seenAt = (Number(lines.find(([kind]) => kind === "now")?.[1]) + 1) * 1000;
  if (!(seenAt > 0)) return { problem: "the guest's clock can't be read with date" };
  return { bootedAt, seenAt, containers: lines.filter(([kind]) => kind === "container").map(foundContainer) };
}

function foundContainer(fields: readonly string[]): FoundContainer {
  const [, name = "", status = "", health, startedAt = "", finishedAt = "", createdAt = "", exitCode] = fields;
  const [restartPolicy = "", error = '""'] = fields.slice(8);
  return {
    name: name.replace(/^\//, ""),
    status,
    hasHealthCheck: health === "health",
    startedAt: timeOf(startedAt),
    finishedAt: timeOf(finishedAt),
    createdAt: timeOf(createdAt),
    exitCode: Number(exitCode),
    restartPolicy: restartPolicy || "no",
    error: String(JSON.parse(error)),
  };
}

/** Docker writes the year 1 for "never". */
function timeOf(text: string): number {
  const time = Date.parse(text);
  return Number.isNaN(time) || time < 0 ? 0 : time;
}

/** Policies by which the engine starts a container at each boot. */
const STARTED_AT_BOOT = ["always", "unless-stopped"];

/** How far what an archive holds may be later than its time: how long a backup takes to freeze its guest, and a clock's small skew. */
const FREEZE_MS = 60_000;

/** What a look says about a container's state when the backup was made. */
export type AtBackup =
  | "ran"
  | "stopped"
  /** Something in the guest other than the engine (a timer, a unit) started it after the boot: nothing shows that it ran. */
  | "started later";

/**
 * What a container did at backup time. The engine gives what ran on the disk an end after the boot and keeps that time when
 * it starts the container again, so:
 *
 * - made after the boot: it was not in the backup;
 * - begun before the boot and ended after it: it ran, and nothing has started it again;
 * - begun after the boot by a policy of the engine's: it ran, or has to run, and stays up unless it fails;
 * - begun after the boot by something else, or ended by itself since: only an end by the boot shows that it ran. A one-shot
 *   container that has ended well is done, whenever that was.
 *
 * After the boot means between the boot and the look, or after both the look and the archive, as before a clock that was ahead was
 * set back. The guest's clock may also be behind the one under which the backup was made: then the disk holds times that are still
 * to come, and they are of before the boot, but none is later than the archive, if the clock was right then. What can't be told
 * apart is what happened in the very minutes that a wrong clock goes through again, and before a clock that was behind was set ahead.
 *
 * `archivedAt`: when the backup began, by the node's clock; milliseconds since the epoch.
 */
export function atBackup(container: FoundContainer, { bootedAt, seenAt }: LookTimes, archivedAt: number): AtBackup {
  const { status, startedAt, finishedAt, createdAt, exitCode, error, restartPolicy } = container;
  const isSinceBoot = (time: number): boolean => (time > seenAt ? time > archivedAt + FREEZE_MS : time >= bootedAt);
  if (isSinceBoot(createdAt)) return "started later";
  const isDown = ["exited", "created", "dead"].includes(status);
  const isEngines = STARTED_AT_BOOT.includes(restartPolicy);
  if (!isSinceBoot(startedAt)) {
    if (!isDown || isSinceBoot(finishedAt)) return "ran";
    return status === "exited" && error !== "" && isEngines ? "ran" : "stopped";
  }
  if (isEngines) return "ran";
  if (isDown) return exitCode !== 0 && restartPolicy === "on-failure" ? "ran" : "started later";
  return isSinceBoot(finishedAt) || status === "restarting" ? "ran" : "started later";
}
