/** Commands in the restored guest, as the checks need them: with an own kind of error for "could not be tried". */
import type { PveClient } from "../../pve/client";
import {
  isPassing,
  PveAgentUnavailable,
  PveConnectionError,
  PveGuestCommandsDisabled,
  PveGuestProgramMissing,
} from "../../pve/errors";
import { GuestAnswerLost, GuestCommandTimeout, type GuestCommandResult, runInGuest } from "../../pve/nodes/agent";
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
  /**
   * Runs a command that only reads. A silent agent, a broken connection, a stray error of the server and a lost answer are a
   * failed attempt (exit code -1), because all of them may pass.
   */
  run(command: readonly string[], inputData?: string): Promise<GuestCommandResult>;
  /** Milliseconds until the checks have to end. */
  leftMs(): number;
  readonly signal: AbortSignal;
}

/** Longest time for one command; the whole check may take several. */
const COMMAND_MS = 60_000;

/** How long the server may answer every command with an error before the check fails with it. */
const PASSING_MS = 30_000;

/** @throws by `run`: NotTried; the signal's reason; an unclassified answer of Proxmox. */
export function guestOf(
  client: PveClient,
  run: RunRef,
  timeoutMs: number,
  signal: AbortSignal,
  commandMs = COMMAND_MS,
): Guest {
  const deadline = performance.now() + timeoutMs;
  const leftMs = (): number => deadline - performance.now();
  let problemSince: number | undefined;
  return {
    leftMs,
    signal,
    async run(command, inputData) {
      const options = { timeoutMs: Math.max(1000, Math.min(leftMs(), commandMs)), signal, inputData };
      try {
        const result = await runInGuest(client, run, command, options);
        problemSince = undefined;
        return result;
      } catch (error) {
        if (error instanceof PveAgentUnavailable || error instanceof PveConnectionError) {
          return { exitCode: -1, stdout: "", stderr: error.text };
        }
        if (error instanceof GuestCommandTimeout || error instanceof GuestAnswerLost) {
          return { exitCode: -1, stdout: "", stderr: error.message };
        }
        if (error instanceof PveGuestProgramMissing) {
          throw new NotTried(`the guest has no program "${command[0] ?? ""}"`);
        }
        if (error instanceof PveGuestCommandsDisabled) {
          throw new NotTried(`the guest agent runs no commands (${error.text}). ${error.advice}`);
        }
        problemSince ??= performance.now();
        if (!isPassing(error) || performance.now() - problemSince >= PASSING_MS) throw error;
        return { exitCode: -1, stdout: "", stderr: error.text };
      }
    },
  };
}
