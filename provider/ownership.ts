/** Whose a VM is: pure, from its configuration. Only what is proven to be a run's own is ever changed or removed. */
import { parsePropertyString } from "../pve/property-string";
import { diskKeys } from "../pve/vm-config";
import { type RunRef, runMarker } from "./contract/run";

/**
 * - `own`: marker, name and SMBIOS UUID are the run's.
 * - `husk`: an almost empty configuration without name and disks, as a restore leaves it while it runs and when it fails.
 * - `altered`: it has the run's marker or UUID, but not all of marker, name and UUID.
 * - `foreign`: anything else.
 */
export type Ownership = "own" | "husk" | "altered" | "foreign";

/** Judges a VM's configuration. A husk is nobody's by itself: the caller has to know that its own task made it. */
export function ownershipOf(config: Readonly<Record<string, string>>, run: RunRef): Ownership {
  const hasMarker = (config["description"] ?? "").split("\n").some((line) => line.trim() === runMarker(run.runId));
  const hasName = config["name"] === run.vmName;
  const hasUuid = smbiosUuid(config) === run.vmUuid.toLowerCase();
  if (hasMarker && hasName && hasUuid) return "own";
  if (hasMarker || hasUuid) return "altered";
  const isEmpty = config["name"] === undefined && config["description"] === undefined && diskKeys(config).length === 0;
  return isEmpty ? "husk" : "foreign";
}

/** What the mark on a VM says. */
export interface Mark {
  readonly runId: string;
  /** When the VM may be swept away; absent: the mark does not say, as older ones. */
  readonly expiresAt?: Date;
}

const RUN_LINE = /^homelab-run=(\d{8}T\d{6}Z-(?:drill|emergency)-[0-9a-f]{6})$/;
const EXPIRY_LINE = /^homelab-expires=(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z)$/;

/** The mark of a run on a VM, whoever's it is: by itself it proves nothing. Undefined if the VM carries none. */
export function markOn(config: Readonly<Record<string, string>>): Mark | undefined {
  const lines = (config["description"] ?? "").split("\n").map((line) => line.trim());
  const first = (pattern: RegExp): string | undefined => lines.flatMap((line) => pattern.exec(line)?.[1] ?? [])[0];
  const runId = first(RUN_LINE);
  if (runId === undefined) return undefined;
  const expiresAt = new Date(first(EXPIRY_LINE) ?? "");
  return Number.isNaN(expiresAt.getTime()) ? { runId } : { runId, expiresAt };
}

/** SMBIOS UUID of a VM in lower case; undefined if it has none. */
export function smbiosUuid(config: Readonly<Record<string, string>>): string | undefined {
  const smbios = config["smbios1"];
  return smbios === undefined ? undefined : parsePropertyString(smbios)["uuid"]?.toLowerCase();
}
