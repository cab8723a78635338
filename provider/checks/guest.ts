/** Commands in the restored guest, as the checks need them: with an own kind of error for "could not be tried". */
import type { PveClient } from "../../pve/client";
import { PveAgentUnavailable, PveApiError, PveConnectionError } from "../../pve/errors";
import { GuestCommandTimeout, type GuestCommandResult, runInGuest } from "../../pve/nodes/agent";
import type { RunRef } from "../contract/run";

/** The check could not be tried at all, for example because the guest lacks a program. The check counts as skipped. */
export class NotTried extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "NotTried";
  }
}

/** One guest in which checks run until a common end. */
export interface Guest {
  /** Runs a command; a silent agent or a broken connection is a failed attempt (exit code -1), because both may pass. */
  run(command: readonly string[], inputData?: string): Promise<GuestCommandResult>;
  /** Milliseconds until the checks have to end. */
  leftMs(): number;
  readonly signal: AbortSignal;
}

/** Longest time for one command; the whole check may take several. */
const COMMAND_MS = 60_000;

/** @throws by `run`: NotTried; the signal's reason; an unclassified answer of Proxmox. */
export function guestOf(client: PveClient, run: RunRef, timeoutMs: number, signal: AbortSignal): Guest {
  const deadline = performance.now() + timeoutMs;
  const leftMs = (): number => deadline - performance.now();
  return {
    leftMs,
    signal,
    async run(command, inputData) {
      const options = { timeoutMs: Math.max(1000, Math.min(leftMs(), COMMAND_MS)), signal, inputData };
      try {
        return await runInGuest(client, run, command, options);
      } catch (error) {
        if (error instanceof PveAgentUnavailable || error instanceof PveConnectionError) {
          return { exitCode: -1, stdout: "", stderr: error.text };
        }
        if (error instanceof GuestCommandTimeout) return { exitCode: -1, stdout: "", stderr: error.message };
        if (error instanceof PveApiError && /No such file or directory/.test(error.text)) {
          throw new NotTried(`the guest has no program "${command[0] ?? ""}"`);
        }
        throw error;
      }
    },
  };
}
