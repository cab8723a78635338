/**
 * Guest agent calls in the form in which Proxmox VE's API gives them: base64 undone, booleans as 1 and 0.
 * Source: PVE/QemuServer/Agent.pm and PVE/API2/Qemu/Agent.pm of qemu-server.
 */
import type { GuestAgent } from "../types";

/** PVE reads no more of a file. Bytes. */
const MAX_READ_BYTES = 16 * 1024 * 1024;
/** One `guest-file-read`. Bytes. */
const READ_CHUNK_BYTES = 1024 * 1024;

/** What `GET agent/exec-status` answers. */
export interface AgentExecStatus {
  exited: 0 | 1;
  exitcode?: number;
  signal?: number;
  "out-data"?: string;
  "err-data"?: string;
  "out-truncated"?: 0 | 1;
  "err-truncated"?: 0 | 1;
}

/** What `GET agent/file-read` answers. */
export interface AgentFile {
  content: string;
  "bytes-read": number;
  /** Only if the file is longer than what PVE reads (16 MiB). */
  truncated?: 1;
}

/** Whether the agent answers a ping within PVE's 3 s. */
export async function agentIsAlive(agent: GuestAgent | undefined): Promise<boolean> {
  if (!agent) return false;
  try {
    await agent.execute("guest-ping");
    return true;
  } catch {
    return false; // the question is whether it answers
  }
}

/** Starts `argv` in the guest, without a shell. `input` becomes its standard input. */
export async function agentExec(
  agent: GuestAgent,
  argv: readonly string[],
  input?: string | Buffer,
): Promise<{ pid: number }> {
  const [path, ...args] = argv;
  if (path === undefined) throw new Error("command or input-data (or both) required");
  return agent.execute<{ pid: number }>("guest-exec", {
    path,
    arg: args,
    "capture-output": true,
    ...(input === undefined ? {} : { "input-data": Buffer.from(input).toString("base64") }),
  });
}

/** The state of a process started by `agentExec`. The agent forgets it once it was told as exited. */
export async function agentExecStatus(agent: GuestAgent, pid: number): Promise<AgentExecStatus> {
  const raw = await agent.execute<{
    exited: boolean;
    exitcode?: number;
    signal?: number;
    "out-data"?: string;
    "err-data"?: string;
    "out-truncated"?: boolean;
    "err-truncated"?: boolean;
  }>("guest-exec-status", { pid });
  return {
    exited: raw.exited ? 1 : 0,
    ...(raw.exitcode === undefined ? {} : { exitcode: raw.exitcode }),
    ...(raw.signal === undefined ? {} : { signal: raw.signal }),
    ...(raw["out-data"] === undefined ? {} : { "out-data": decode(raw["out-data"]) }),
    ...(raw["err-data"] === undefined ? {} : { "err-data": decode(raw["err-data"]) }),
    ...(raw["out-truncated"] === undefined ? {} : { "out-truncated": raw["out-truncated"] ? 1 : 0 }),
    ...(raw["err-truncated"] === undefined ? {} : { "err-truncated": raw["err-truncated"] ? 1 : 0 }),
  };
}

/** Reads a file of the guest, at most 16 MiB of it. */
export async function agentFileRead(agent: GuestAgent, path: string): Promise<AgentFile> {
  const handle = await agent.execute<number>("guest-file-open", { path });
  const chunks: Buffer[] = [];
  let bytes = 0;
  let eof = false;
  try {
    while (!eof && bytes < MAX_READ_BYTES) {
      const read = await agent.execute<{ count: number; "buf-b64": string; eof: boolean }>("guest-file-read", {
        handle,
        count: READ_CHUNK_BYTES,
      });
      chunks.push(Buffer.from(read["buf-b64"], "base64"));
      bytes += read.count;
      eof = read.eof;
    }
  } finally {
    await agent.execute("guest-file-close", { handle });
  }
  return {
    content: Buffer.concat(chunks).toString("utf8"),
    "bytes-read": bytes,
    ...(eof ? {} : { truncated: 1 }),
  };
}

/** Writes a file of the guest, replacing what is there. `content` is base64 already if `encoded`. */
export async function agentFileWrite(agent: GuestAgent, path: string, content: string, encoded = false): Promise<void> {
  const handle = await agent.execute<number>("guest-file-open", { path, mode: "wb" });
  try {
    await agent.execute("guest-file-write", {
      handle,
      "buf-b64": encoded ? content : Buffer.from(content, "utf8").toString("base64"),
    });
  } finally {
    await agent.execute("guest-file-close", { handle });
  }
}

/** A program that prints bytes which are no UTF-8 gets replacement characters, as JSON can carry no bytes. */
function decode(base64: string): string {
  return Buffer.from(base64, "base64").toString("utf8");
}
