/** Which containers ran when a backup was made, read from the restored guest itself. */
import { shorten } from "../text";
import type { Guest } from "./guest";

/** A container as the restored guest's engine knows it. */
export interface FoundContainer {
  readonly name: string;
  /** `running`, `exited`, `restarting`, `created`, `paused`, `dead`. */
  readonly status: string;
  readonly hasHealthCheck: boolean;
  /** Milliseconds since the epoch by the guest's clock; 0: never ended. */
  readonly finishedAt: number;
  /** `no`, `on-failure`, `always`, `unless-stopped`. */
  readonly restartPolicy: string;
  /** Why the engine could not start it; empty if it could or did not try. */
  readonly error: string;
}

/** What a look into the guest found. */
export type Finding =
  | { readonly containers: readonly FoundContainer[]; readonly bootedAt: number }
  | { readonly hasNoDocker: true }
  /** The engine did not answer. */
  | { readonly problem: string };

const NO_DOCKER = "no-docker";

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
  `  echo ${NO_DOCKER}`,
  "  exit 0",
  "fi",
  "set -e",
  "sed -n 's/^btime /btime\t/p' /proc/stat",
  "containers=$(docker ps --all --quiet --no-trunc)",
  `[ -z "$containers" ] || docker inspect --type container --format ` +
    `'container\t{{.Name}}\t{{.State.Status}}\t{{if .State.Health}}health{{end}}\t{{.State.FinishedAt}}\t` +
    `{{.HostConfig.RestartPolicy.Name}}\t{{json .State.Error}}' $containers`,
].join("\n");

/** Looks once. @throws NotTried, where the guest has no shell */
export async function findContainers(guest: Guest): Promise<Finding> {
  const { exitCode, stdout, stderr } = await guest.run(["sh", "-c", SCRIPT]);
  if (exitCode === 0 && stdout.trim() === NO_DOCKER) return { hasNoDocker: true };
  if (exitCode !== 0) return { problem: shorten(stderr || `docker ended with ${exitCode}`) };
  const lines = stdout.split("\n").map((line) => line.split("\t"));
  const bootedAt = Number(lines.find(([kind]) => kind === "btime")?.[1]) * 1000;
  if (!(bootedAt > 0)) return { problem: "the guest's boot time can't be read from /proc/stat" };
  return { bootedAt, containers: lines.filter(([kind]) => kind === "container").map(foundContainer) };
}

function foundContainer(fields: readonly string[]): FoundContainer {
  const [, name = "", status = "", health, finishedAt = "", restartPolicy = "", error = '""'] = fields;
  const ended = Date.parse(finishedAt);
  return {
    name: name.replace(/^\//, ""),
    status,
    hasHealthCheck: health === "health",
    // Docker writes the year 1 for "never".
    finishedAt: Number.isNaN(ended) || ended < 0 ? 0 : ended,
    restartPolicy: restartPolicy || "no",
    error: String(JSON.parse(error)),
  };
}

/** Policies by which the engine starts a container at each boot. */
const STARTED_AT_BOOT = ["always", "unless-stopped"];

/**
 * Whether a container ran at backup time. It did if it runs now (only the engine starts something in a restored guest), if
 * the engine found it dead at the guest's boot (it gives what ran on the disk an end after the boot), or if the engine had to
 * start it and could not. One that was stopped by hand before the backup did not.
 */
export function ranAtBackup({ status, finishedAt, error, restartPolicy }: FoundContainer, bootedAt: number): boolean {
  if (!["exited", "created", "dead"].includes(status)) return true;
  if (finishedAt >= bootedAt) return true;
  return status === "exited" && error !== "" && STARTED_AT_BOOT.includes(restartPolicy);
}
