/** The TPM of one machine: a swtpm process beside QEMU. Source: PVE/QemuServer.pm, `start_swtpm`. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import type { Tpm } from "./firmware";

const START_TIMEOUT_MS = 10_000;

/**
 * Starts swtpm and resolves once it listens. It ends by itself when QEMU closes the connection, and with this process.
 * Its state is written into the volume, so it is in the next backup.
 */
export async function startTpm(tpm: Tpm, socket: string): Promise<void> {
  await rm(socket, { force: true });
  const args = [
    ...["socket", "--terminate"],
    ...["--tpmstate", `backend-uri=file://${tpm.state},mode=0600`],
    ...["--ctrl", `type=unixio,path=${socket},mode=0600`],
    ...(tpm.version === "v2.0" ? ["--tpm2"] : []),
  ];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", "swtpm", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (data: Buffer) => (output += data.toString()));
  child.stderr.on("data", (data: Buffer) => (output += data.toString()));
  const life: { ended: string | undefined } = { ended: undefined };
  child.once("error", (error) => (life.ended = error.message));
  child.once("exit", (code, signal) => (life.ended = signal ?? `exit code ${code ?? "?"}`));
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!existsSync(socket)) {
    const cause = life.ended ?? (Date.now() > deadline ? `no socket within ${START_TIMEOUT_MS / 1000} s` : undefined);
    if (cause !== undefined) {
      child.kill("SIGKILL");
      throw new Error(`start failed: the TPM emulator swtpm did not start: ${cause}. ${output.trim()}`.trim());
    }
    await sleep(20);
  }
}
