/** The guest agent of `FakePve`. */
import { Refusal } from "./refused-call";

/** What a command in the guest gives. */
export interface GuestAnswer {
  /** The guest has no such program. */
  isMissing?: boolean;
  exitCode: number;
  stdout?: string;
  stderr?: string;
}

/** What the guest makes of commands, and its clock. */
export interface FakeGuest {
  /** The guests' clocks minus this computer's, in seconds. */
  guestClockOffsetSeconds: number;
  guest: (command: string[], input: string | undefined) => GuestAnswer;
}

export class FakeAgent {
  private readonly commands = new Map<number, GuestAnswer>();
  private counter = 0;

  /** What `/agent` and below answers. */
  answer(call: string, parameters: URLSearchParams, { guest, guestClockOffsetSeconds }: FakeGuest): unknown {
    switch (call) {
      case "POST /agent/ping":
        return { result: {} };
      case "GET /agent/get-time":
        return { result: (Date.now() + guestClockOffsetSeconds * 1000) * 1e6 };
      case "POST /agent/exec": {
        const pid = ++this.counter;
        const command = parameters.getAll("command");
        const answer = guest(command, parameters.get("input-data") ?? undefined);
        if (answer.isMissing === true) {
          throw new Refusal(
            500,
            `Agent error: Guest agent command failed, error was 'Failed to execute child process "${command[0] ?? ""}" (No such file or directory)'`,
          );
        }
        this.commands.set(pid, answer);
        return { pid };
      }
      case "GET /agent/exec-status": {
        const pid = Number(parameters.get("pid"));
        const answer = this.commands.get(pid);
        if (answer === undefined) throw new Refusal(500, `Agent error: PID ${pid} does not exist`);
        this.commands.delete(pid);
        const { exitCode, stdout, stderr } = answer;
        return { exited: 1, exitcode: exitCode, "out-data": stdout, "err-data": stderr };
      }
    }
    throw new Refusal(501, `Method '${call}' not implemented`);
  }
}
