/** PVE `/nodes/{node}/qemu/{vmid}/agent`: what the guest itself says and does. */
import { z } from "zod";
import { type CallOptions, type PveClient, pvePath } from "../client";
import { isPassing, type PveError, PveGuestProcessUnknown } from "../errors";
import { lookMs, pollUntil } from "../wait";
import { pveBoolean, pveNumber } from "../wire";

/** A VM whose agent is asked. */
export interface AgentTarget {
  readonly node: string;
  readonly vmId: number;
}

const execSchema = z.object({ pid: pveNumber });

const execStatusSchema = z.object({
  exited: pveBoolean,
  exitcode: pveNumber.optional(),
  signal: pveNumber.optional(),
  "out-data": z.string().optional(),
  "err-data": z.string().optional(),
});

/** How a command in the guest ended. */
export interface GuestCommandResult {
  /** -1 when a signal ended it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface GuestCommandOptions {
  /** Limit for the command in milliseconds; at the end of it the command may still run in the guest. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Standard input, at most 64 KiB. */
  readonly inputData?: string;
}

/** A command in the guest that had not ended in time. */
export class GuestCommandTimeout extends Error {
  constructor(command: readonly string[], timeoutMs: number) {
    super(`"${command.slice(0, 3).join(" ")}" had not ended in the guest after ${Math.round(timeoutMs / 1000)} s`);
    this.name = "GuestCommandTimeout";
  }
}

/** A command in the guest has ended, but its answer got lost on the way. What only reads can be run again. */
export class GuestAnswerLost extends Error {
  constructor(command: readonly string[], options: ErrorOptions) {
    super(`the answer of "${command.slice(0, 3).join(" ")}" got lost on its way from the guest`, options);
    this.name = "GuestAnswerLost";
  }
}

/** Asks whether the agent answers. @throws PveAgentUnavailable */
export async function pingAgent(client: PveClient, { node, vmId }: AgentTarget, options?: CallOptions): Promise<void> {
  await client.post(pvePath`/nodes/${node}/qemu/${vmId}/agent/ping`, z.unknown(), {}, options);
}

/** The guest's clock, seconds since the epoch. Source: QEMU guest agent, `guest-get-time`, which tells nanoseconds. */
export async function guestTime(
  client: PveClient,
  { node, vmId }: AgentTarget,
  options?: CallOptions,
): Promise<number> {
  const schema = z.object({ result: pveNumber });
  return (await client.get(pvePath`/nodes/${node}/qemu/${vmId}/agent/get-time`, schema, {}, options)).result / 1e9;
}

/** Reads a file of the guest, at most 16 MiB. @throws PveApiError when the guest has no such file */
export async function readGuestFile(
  client: PveClient,
  { node, vmId }: AgentTarget,
  file: string,
  options?: CallOptions,
): Promise<string> {
  const schema = z.object({ content: z.string() });
  return (await client.get(pvePath`/nodes/${node}/qemu/${vmId}/agent/file-read`, schema, { file }, options)).content;
}

/**
 * Runs a command in the guest, without a shell, and waits for its end. Needs VM.GuestAgent.Unrestricted.
 *
 * A broken connection or a stray error of the server does not end the wait. But PVE hands the answer of a command that has
 * ended out once only, so it can be lost by that.
 *
 * @throws PveAgentUnavailable, PveGuestProgramMissing, GuestCommandTimeout, GuestAnswerLost; a command that fails is a
 * result, not an error.
 */
export async function runInGuest(
  client: PveClient,
  { node, vmId }: AgentTarget,
  command: readonly string[],
  { timeoutMs, signal, inputData }: GuestCommandOptions,
): Promise<GuestCommandResult> {
  const path = pvePath`/nodes/${node}/qemu/${vmId}/agent`;
  const deadline = performance.now() + timeoutMs;
  const callTimeoutMs = Math.max(1000, timeoutMs);
  const parameters = { command, "input-data": inputData };
  const { pid } = await client.post(`${path}/exec`, execSchema, parameters, { signal, timeoutMs: callTimeoutMs });
  const wait = { timeoutMs: Math.max(1, deadline - performance.now()), signal, firstPauseMs: 150 };
  let lastProblem: PveError | undefined;
  const result = await pollUntil(wait, async (leftMs) => {
    try {
      const call = { signal, timeoutMs: lookMs(leftMs) };
      const status = await client.get(`${path}/exec-status`, execStatusSchema, { pid }, call);
      lastProblem = undefined;
      return status.exited ? status : undefined;
    } catch (error) {
      if (error instanceof PveGuestProcessUnknown) throw new GuestAnswerLost(command, { cause: error });
      if (!isPassing(error)) throw error;
      lastProblem = error;
      return undefined;
    }
  });
  if (result === undefined) throw lastProblem ?? new GuestCommandTimeout(command, timeoutMs);
  return {
    exitCode: result.exitcode ?? -1,
    stdout: result["out-data"] ?? "",
    stderr: result["err-data"] ?? (result.signal === undefined ? "" : `ended by signal ${result.signal}`),
  };
}
