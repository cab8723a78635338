/** Unique process ids of PVE tasks. Source: pve-common `PVE::Tools::upid_decode`. */

export interface Upid {
  node: string;
  pid: number;
  /** Kernel's process start time, only there to tell recycled pids apart. */
  pstart: number;
  /** Seconds since the epoch. */
  startTime: number;
  /** `qmrestore`, `vzdump`, … */
  type: string;
  /** What the task works on, mostly a VMID; may be empty. */
  id: string;
  /** `user@realm` or, for a token, `user@realm!token`. */
  user: string;
}

const PATTERN =
  /^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s]+):([^:\s]*):([^:\s]+):$/;

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, "0");
}

export function isUpid(text: string): boolean {
  return PATTERN.test(text);
}

/** @throws Error with PVE's text "unable to parse worker upid" for anything else. */
export function parseUpid(text: string): Upid {
  const match = PATTERN.exec(text);
  if (match === null) throw new Error(`unable to parse worker upid '${text}'`);
  const [, node = "", pid = "", pstart = "", starttime = "", type = "", id = "", user = ""] = match;
  return {
    node,
    pid: parseInt(pid, 16),
    pstart: parseInt(pstart, 16),
    startTime: parseInt(starttime, 16),
    type,
    id,
    user,
  };
}

/** @throws Error when a part has a character that a UPID cannot hold, e.g. a colon in the id. */
export function printUpid(upid: Upid): string {
  const { node, pid, pstart, startTime, type, id, user } = upid;
  const text = `UPID:${node}:${hex(pid)}:${hex(pstart)}:${hex(startTime)}:${type}:${id}:${user}:`;
  parseUpid(text);
  return text;
}
