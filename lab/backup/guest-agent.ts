/** Freezing a guest's file systems around the moment of a backup. Source: qemu-server `qga_fs_freeze`, `qga_fs_thaw`. */
import { parsePropertyString } from "../../pve/property-string";
import { type GuestAgent, type VmConfig } from "../types";
import { type VzdumpLog } from "./vzdump-log";

/** A guest under load needs long to write its caches out; PVE waits an hour. */
const FREEZE_TIMEOUT_MS = 10 * 60_000;
const THAW_TIMEOUT_MS = 60_000;

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Freezes when the agent is configured, alive, and not told otherwise. Undefined: nothing was frozen. Else the thaw, which
 * must be called, also when the freeze itself failed; it logs instead of throwing and tries twice, since a guest left frozen
 * is worse than a failed backup.
 */
export async function freeze(
  config: VmConfig,
  agent: GuestAgent | undefined,
  log: VzdumpLog,
): Promise<(() => Promise<void>) | undefined> {
  const options = parsePropertyString(config["agent"] ?? "", "enabled");
  if (options["enabled"] !== "1") return undefined;
  const alive =
    agent === undefined
      ? false
      : await agent.execute("guest-ping", undefined, 3000).then(
          () => true,
          () => false,
        );
  if (agent === undefined || !alive) {
    log.info("skipping guest-agent 'fs-freeze', agent configured but not running?");
    return undefined;
  }
  if ((options["guest-fsfreeze"] ?? options["freeze-fs"] ?? options["freeze-fs-on-backup"] ?? "1") === "0") {
    log.info("skipping guest-agent 'fs-freeze', disabled in VM options");
    return undefined;
  }
  log.info("issuing guest-agent 'fs-freeze' command");
  try {
    await agent.execute("guest-fsfreeze-freeze", undefined, FREEZE_TIMEOUT_MS);
  } catch (error) {
    log.error(reason(error));
  }
  return async () => {
    log.info("issuing guest-agent 'fs-thaw' command");
    for (let attempt = 1; attempt <= 2; attempt++) {
      try {
        await agent.execute("guest-fsfreeze-thaw", undefined, THAW_TIMEOUT_MS);
        return;
      } catch (error) {
        log.error(reason(error));
      }
    }
  };
}
