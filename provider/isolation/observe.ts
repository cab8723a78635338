/** The probes' script, and what its output means: pure. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Observation, ProbeTarget } from "../contract/isolation";
import { shorten } from "../text";

/** For one probe. A Linux machine asks three times for a neighbour's MAC address in this time before it gives up. */
const LIMIT_SECONDS = 3;

/** How a probe that is not of one address is called. */
const OWN_GATEWAY = "its own gateway";
const EVERYONE = "anyone on its network";

/** An output that is not the script's: nothing follows from it. */
export class NotUnderstood extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "NotUnderstood";
  }
}

/** The command that asks all targets side by side. `waitSeconds`: for the machine to get its network up. Changes nothing. */
export function probeCommand(targets: readonly ProbeTarget[], waitSeconds: number): string[] {
  const script = readFileSync(join(__dirname, "probe.sh"), "utf8");
  const addresses = targets.map(({ address, port }) => `${address}/${port}`);
  return ["bash", "-c", script, "probe", String(Math.ceil(waitSeconds)), String(LIMIT_SECONDS), ...addresses];
}

/** What a target is called wherever it is asked. */
export function probeName({ name, address, port }: ProbeTarget): string {
  return `${name} ${address.includes(":") ? `[${address}]` : address}:${port}`;
}

interface Line {
  readonly kind: string;
  readonly words: readonly string[];
  /** From the fourth word on. */
  readonly text: string;
}

/**
 * What each target did, in the targets' order, then the guest's own gateways, and everyone on its network.
 *
 * @throws NotUnderstood when the output is not that of the whole script: then nothing was proved.
 */
export function observationsOf(stdout: string, targets: readonly ProbeTarget[]): Observation[] {
  const lines = stdout.split("\n").filter((line) => line.trim() !== "");
  const missing = /^missing (\S+)$/.exec(lines[0] ?? "")?.[1];
  if (missing !== undefined) throw new NotUnderstood(`it has no program "${missing}"`);
  if (lines.at(-1) !== "end") throw new NotUnderstood(`the probes did not run to their end: ${shorten(stdout)}`);
  const parsed = lines.slice(0, -1).map(parseLine);
  const own = parsed.some(({ kind }) => kind === "own-gateway")
    ? [observe(OWN_GATEWAY, parsed.filter(isOf("own")))]
    : [];
  return [
    ...targets.map((target, index) => observeTarget(target, parsed.filter(isOf(String(index))))),
    ...own,
    observeEveryone(parsed),
  ];
}

const KINDS: Readonly<Record<string, number>> = {
  tcp: 3,
  neighbour: 3,
  "own-gateway": 1,
  "everyone-asked": 1,
  everyone: 2,
  lacks: 1,
};

function parseLine(line: string): Line {
  const [kind = "", ...words] = line.trimEnd().split(" ");
  const least = KINDS[kind];
  if (least === undefined || words.length < least) throw new NotUnderstood(`the probes printed "${shorten(line)}"`);
  return { kind, words, text: words.slice(3).join(" ") };
}

function isOf(target: string): (line: Line) => boolean {
  return ({ kind, words }) => (kind === "tcp" || kind === "neighbour") && words[0] === target;
}

/** What bash says of a connection, by what it tells of the other side. Texts of glibc in the C locale. */
const ANSWERS = /: (Connection refused|Connection reset by peer)$/;
const SILENCES = /: (No route to host|Connection timed out)$/;
const NOT_SENT = /: (Network is unreachable|Cannot assign requested address|Address family not supported by protocol)$/;
/** Exit code of `timeout` when the time was over. */
const TIME_OVER = "124";

/** Only a link-local address is not asked where there is no interface to ask on; of any other one the script tells. */
function observeTarget(target: ProbeTarget, lines: readonly Line[]): Observation {
  const probe = probeName(target);
  if (lines.length > 0 || !isLinkLocal(target.address)) return observe(probe, lines);
  return { probe, outcome: "not-sent", detail: "it has no interface that is up" };
}

/** As the script tells them apart. */
function isLinkLocal(address: string): boolean {
  return address.startsWith("fe80:");
}

/** One target on all its interfaces: an answer on any of them counts, silence only if something was sent. */
function observe(probe: string, lines: readonly Line[]): Observation {
  if (lines.length === 0) throw new NotUnderstood(`nothing is told of ${probe}`);
  const seen = lines.map(judgeLine);
  const best =
    seen.find(({ outcome }) => outcome === "answered") ?? seen.find(({ outcome }) => outcome === "silent") ?? seen[0];
  return { probe, outcome: best?.outcome ?? "not-sent", detail: best?.detail ?? "" };
}

function judgeLine({ kind, words, text }: Line): Omit<Observation, "probe"> {
  const [, address = "", third = ""] = words;
  if (kind === "neighbour") return { outcome: "answered", detail: `${address} has answered on layer 2 (${third})` };
  if (third === "0") return { outcome: "answered", detail: `${address} took the connection` };
  if (third === TIME_OVER) return { outcome: "silent", detail: `no answer within ${LIMIT_SECONDS} s` };
  const answer = ANSWERS.exec(text)?.[1];
  if (answer !== undefined) return { outcome: "answered", detail: `${address}: ${answer}` };
  const silence = SILENCES.exec(text)?.[1];
  if (silence !== undefined) return { outcome: "silent", detail: silence };
  const notSent = NOT_SENT.exec(text)?.[1];
  if (notSent !== undefined) return { outcome: "not-sent", detail: notSent };
  throw new NotUnderstood(`a connection to ${address} ended with code ${third}: ${shorten(text)}`);
}

function observeEveryone(lines: readonly Line[]): Observation {
  const answers = lines
    .filter(({ kind }) => kind === "everyone")
    .map(({ words: [dev, address] }) => `${address}%${dev}`);
  if (answers.length > 0)
    return { probe: EVERYONE, outcome: "answered", detail: `${answers.join(", ")} answered a ping` };
  if (lines.some(({ kind }) => kind === "lacks")) {
    return { probe: EVERYONE, outcome: "not-sent", detail: "it has no program ping" };
  }
  return lines.some(({ kind }) => kind === "everyone-asked")
    ? { probe: EVERYONE, outcome: "silent", detail: "a ping to all nodes (ff02::1) came back from nobody else" }
    : { probe: EVERYONE, outcome: "not-sent", detail: "it did not even hear its own ping to all nodes (ff02::1)" };
}
