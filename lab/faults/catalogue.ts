/** The faults that can be switched on in a running lab, by name. None is ever on by itself. */

/** What happens to a call of the API. */
export type CallEffect =
  /** The call is not made; this is its answer. */
  | { readonly do: "answer"; readonly status: number; readonly text: string }
  /** The call is not made; something that is no Proxmox answers. */
  | { readonly do: "html" }
  /** The call is not made and never answered. */
  | { readonly do: "hang" }
  /** The call is not made; its connection is reset. */
  | { readonly do: "reset" }
  /** The call is made; its connection is reset in place of the answer. */
  | { readonly do: "lose-answer" }
  /** The call is made after this time. */
  | { readonly do: "delay"; readonly milliseconds: number }
  /** The VM in the call's path gets this lock before the call is made, as by a task of somebody else. */
  | { readonly do: "lock"; readonly lock: string };

/** What happens to a restore task. */
export type RestoreEffect = "fail-late" | "stall" | "disk-full" | "truncate" | "flip-bit" | "lose-storage";

/** One fault. `what` is a sentence for people, without a full stop. */
export type FaultDefinition =
  | {
      readonly kind: "call";
      readonly what: string;
      /** Calls that are met unless the scope names others: method or `*`, and a path template; absent: every call. */
      readonly on?: string;
      readonly effect: CallEffect;
    }
  | { readonly kind: "restore"; readonly what: string; readonly effect: RestoreEffect }
  | { readonly kind: "storage"; readonly what: string }
  | { readonly kind: "clock"; readonly what: string; readonly offsetSeconds: number }
  | { readonly kind: "network"; readonly what: string };

const AGENT_CALLS = "* /nodes/{node}/qemu/{vmid}/agent/{call}";
const DAY_SECONDS = 86_400;

/**
 * Texts are Proxmox' own. Sources: pve-http-server `AnyEvent.pm` and `proxy_request` (401, 596), pve-access-control
 * `RPCEnvironment.pm` (403), qemu-server `Agent.pm`.
 */
const definitions = {
  "api-401": {
    kind: "call",
    what: "the API does not accept the token",
    effect: { do: "answer", status: 401, text: "Authentication failed!" },
  },
  "api-403": {
    kind: "call",
    what: "the API denies the token the call",
    effect: { do: "answer", status: 403, text: "Permission check failed" },
  },
  "api-500": {
    kind: "call",
    what: "the API answers with an error that means nothing in particular",
    effect: { do: "answer", status: 500, text: "got no worker upid - start worker failed" },
  },
  "api-596": {
    kind: "call",
    what: "the API's proxy gets no answer from the node's daemon",
    effect: { do: "answer", status: 596, text: "Connection timed out" },
  },
  "api-hangs": { kind: "call", what: "the API takes the call and never answers", effect: { do: "hang" } },
  "api-resets": {
    kind: "call",
    what: "the API's connection is reset before the call is made",
    effect: { do: "reset" },
  },
  "api-slow": { kind: "call", what: "each call takes 4 s more", effect: { do: "delay", milliseconds: 4000 } },
  "api-answer-lost": {
    kind: "call",
    what: "the call is made, and its connection is reset before the answer",
    effect: { do: "lose-answer" },
  },
  "api-html": {
    kind: "call",
    what: "something else answers with a page of HTML and status 200",
    effect: { do: "html" },
  },
  "task-log-unavailable": {
    kind: "call",
    what: "no task's log can be read",
    on: "GET /nodes/{node}/tasks/{upid}/log",
    effect: { do: "answer", status: 500, text: "unable to open file - Input/output error" },
  },
  "agent-silent": {
    kind: "call",
    what: "the guest agent does not answer",
    on: AGENT_CALLS,
    effect: { do: "answer", status: 500, text: "QEMU guest agent is not running" },
  },
  "agent-slow": {
    kind: "call",
    what: "each call to the guest agent takes 4 s",
    on: AGENT_CALLS,
    effect: { do: "delay", milliseconds: 4000 },
  },
  "vm-locked": {
    kind: "call",
    what: "somebody else's backup holds the VM when it is started, and leaves its lock",
    on: "POST /nodes/{node}/qemu/{vmid}/status/start",
    effect: { do: "lock", lock: "backup" },
  },
  "storage-offline": {
    kind: "storage",
    what: "the storage is not online: not active, and nothing on it can be listed or read",
  },
  "restore-loses-storage": {
    kind: "restore",
    what: "the archive's storage goes offline while the archive is read, and stays so",
    effect: "lose-storage",
  },
  "restore-fails-late": {
    kind: "restore",
    what: "the restore fails when all data is there and only the configuration is to be written",
    effect: "fail-late",
  },
  "restore-stalls": {
    kind: "restore",
    what: "the restore goes no further when all data is there, until this fault is off",
    effect: "stall",
  },
  "disk-full": { kind: "restore", what: "the disks' storage is full while they are written", effect: "disk-full" },
  "archive-truncated": { kind: "restore", what: "the restore reads half of the archive only", effect: "truncate" },
  "archive-bit-flipped": {
    kind: "restore",
    what: "the restore reads one wrong bit in the archive's middle",
    effect: "flip-bit",
  },
  "guest-clock-behind": {
    kind: "clock",
    what: "a VM starts with its hardware clock a day behind",
    offsetSeconds: -DAY_SECONDS,
  },
  "guest-clock-ahead": {
    kind: "clock",
    what: "a VM starts with its hardware clock a day ahead",
    offsetSeconds: DAY_SECONDS,
  },
  "way-out": {
    kind: "network",
    what: "a VM starts with its cards on a network that has a router, while Proxmox shows them on the isolated bridge",
  },
} satisfies Readonly<Record<string, FaultDefinition>>;

export type FaultName = keyof typeof definitions;

export const FAULTS: Readonly<Record<FaultName, FaultDefinition>> = definitions;

export function isFaultName(text: string): text is FaultName {
  return Object.hasOwn(FAULTS, text);
}
