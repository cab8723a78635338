/**
 * A guest without a machine: an agent that really runs its commands, in a shell of this computer that has no network, no
 * Docker and a few plain programs. For tests of what happens around the agent; what a guest is like is tested with guests.
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

export class ShellGuest implements GuestAgent {
  private readonly processes = new Map<number, Ended>();

  /**
   * @param programs Folders of the guest's programs; the first that has a program counts.
   * @param network Asked before each command for the network namespace that it runs in. Default: one without any card.
   */
  constructor(
    private readonly programs: readonly string[] = PROGRAMS,
    private readonly network?: () => string,
  ) {}

  async execute<T = unknown>(command: string, args: Record<string, unknown> = {}): Promise<T> {
    switch (command) {
      case "guest-ping":
        return {} as T;
      case "guest-exec":
        return this.start(args as unknown as Exec) as T;
      case "guest-exec-status":
        return this.status(Number(args["pid"])) as T;
      default:
        throw new Error(`The command ${command} has not been found`);
    }
  }

  private start({ path, arg = [], "input-data": input }: Exec): { pid: number } {
    const shell = ["/bin/sh", "-c", WITHOUT_DOCKER, "sh", path, ...arg];
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
