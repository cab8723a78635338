import { spawn } from "node:child_process";

/** What a program on a terminal is sent and when: `keys` once its output contains `after`. */
export interface Keys {
  readonly after: string;
  /** `hang up`: the terminal goes away, as when its window is closed. */
  readonly keys: string | typeof HANG_UP;
}

export const CTRL_C = "\u0003";
export const HANG_UP = Symbol("hang up");

/** How a program on a terminal ended, and all that the terminal showed. */
export interface TerminalEnd {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a shell command on a pseudo-terminal (util-linux `script`) and types what it is told to. */
export function onTerminal(command: string, typed: readonly Keys[], timeoutMs = 30_000): Promise<TerminalEnd> {
  const waiting = [...typed];
  return new Promise((resolve, reject) => {
    const child = spawn("script", ["-qfec", command, "/dev/null"], {
      env: { ...process.env, TERM: "xterm", CI: undefined },
      stdio: ["pipe", "pipe", "inherit"],
    });
    let output = "";
    let seen = 0;
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (chunk: string) => {
      output += chunk;
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        const at = output.indexOf(next.after, seen);
        if (at < 0) break;
        seen = at + next.after.length;
        if (next.keys === HANG_UP) child.kill("SIGKILL");
        else child.stdin.write(next.keys);
        waiting.shift();
      }
    });
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}
