/**
 * A guest without a machine: an agent that really runs its commands, in a shell of this computer that has a network of its own
 * on which nobody else is, no Docker and a few plain programs. For tests of what happens around the agent; what a guest is like is tested with guests.
 */
import { spawn } from "node:child_process";
import { type GuestAgent } from "../../lab/types";

/** Plain programs of this computer. */
export const PROGRAMS = ["/bin", "/usr/bin"];

interface Exec {
  readonly path: string;
  readonly arg?: readonly string[];
  readonly "input-data"?: string;
}

interface Ended {
  readonly exited: boolean;
  readonly exitcode?: number;
  readonly "out-data"?: string;
  readonly "err-data"?: string;
}

/** Docker's programs and sockets are hidden, wherever this computer has them. */
const WITHOUT_DOCKER =
  "mount -t tmpfs none /run; for dir in /bin /usr/bin; do " +
  '[ -e "$dir/docker" ] && mount --bind /dev/null "$dir/docker"; done; exec "$@"';

/**
 * Production's address on a cable whose other end is nobody's: what is asked is sent, and nobody answers. Neighbours are given up
 * after a tenth of a second, so that no drill waits for the silence, and IPv6 is left out, because it tries its address for seconds.
 */
const ALONE =
  "ip link add eth0 type veth peer name veth0; ip link set eth0 addrgenmode none; ip link set veth0 addrgenmode none up; " +
  "echo 1 >/proc/sys/net/ipv4/neigh/eth0/mcast_solicit; echo 100 >/proc/sys/net/ipv4/neigh/eth0/retrans_time_ms; " +
  "ip address add 192.168.20.200/24 dev eth0; ip link set lo up; ip link set eth0 up; " +
  "ip route add default via 192.168.20.1; ";

export class ShellGuest implements GuestAgent {
  private readonly processes = new Map<number, Ended>();

  /**
   * @param programs Folders of the guest's programs; the first that has a program counts.
   * @param network Asked before each command for the network namespace that it runs in. Default: one that is `ALONE`.
   */
  constructor(
    private readonly programs: readonly string[] = PROGRAMS,
    private readonly network?: () => string,
  ) {}

  async execute<T = unknown>(command: string, args: Record<string, unknown> = {}): Promise<T> {
    switch (command) {
      case "guest-ping":
        return {} as T;
      case "guest-get-time":
        return (Date.now() * 1e6) as T;
      case "guest-exec":
        return this.start(args as unknown as Exec) as T;
      case "guest-exec-status":
        return this.status(Number(args["pid"])) as T;
      default:
        throw new Error(`The command ${command} has not been found`);
    }
  }

  private start({ path, arg = [], "input-data": input }: Exec): { pid: number } {
    const prepared = this.network === undefined ? `${ALONE}${WITHOUT_DOCKER}` : WITHOUT_DOCKER;
    const shell = ["/bin/sh", "-c", prepared, "sh", path, ...arg];
    const [program = "", ...argv] =
      this.network === undefined
        ? ["unshare", "--mount", "--net", "--", ...shell]
        : ["ip", "netns", "exec", this.network(), "unshare", "--mount", "--", ...shell];
    const child = spawn(program, argv, { env: { PATH: this.programs.join(":") }, stdio: "pipe" });
    const { pid } = child;
    if (pid === undefined) throw new Error("Failed to create child process");
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    // A program that does not read its input ends before it has all of it.
    child.stdin.on("error", () => undefined);
    child.stdin.end(Buffer.from(input ?? "", "base64"));
    this.processes.set(pid, { exited: false });
    child.once("close", (code) => {
      const data = {
        "out-data": Buffer.concat(out).toString("base64"),
        "err-data": Buffer.concat(err).toString("base64"),
      };
      this.processes.set(pid, { exited: true, exitcode: code ?? 1, ...data });
    });
    return { pid };
  }

  /** As qemu-ga: the answer of a command that has ended is given once. */
  private status(pid: number): Ended {
    const ended = this.processes.get(pid);
    if (ended === undefined) throw new Error(`PID ${pid} does not exist`);
    if (ended.exited) this.processes.delete(pid);
    return ended;
  }
}
