/** The HTTP check with the real curl: whose clock a certificate has to be valid by. No machine: this computer is the guest. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureServerIdentity } from "../../lab/tls";
import { ContainerWatch, parseStates } from "../../provider/checks/containers";
import type { Guest } from "../../provider/checks/guest";
import { checkHttp } from "../../provider/checks/http-check";

const HOST = "rss.example.net";
const DAY = 86_400_000;

let dir: string;
let server: Server | undefined;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "http-check-"))));
afterEach(async () => {
  await new Promise((resolve) => (server === undefined ? resolve(undefined) : server.close(resolve)));
  server = undefined;
  rmSync(dir, { recursive: true });
});

/** A proxy whose certificates were made this long ago, and the root to verify them against. */
async function proxy(ageMs: number): Promise<{ root: string; port: number }> {
  const { caPem, server: identity } = await ensureServerIdentity(dir, [HOST], new Date(Date.now() - ageMs));
  const started = createServer(identity, (_request, response) => response.end("well"));
  server = started;
  await new Promise<void>((resolve) => started.listen(0, "127.0.0.1", resolve));
  return { root: caPem, port: (started.address() as AddressInfo).port };
}

/** Runs what the check asks for; the proxy's port is a free one of this computer. */
function guestOf(port: number): Guest {
  const begun = performance.now();
  const run: Guest["run"] = async ([program = "", ...args], input) =>
    new Promise((resolve) => {
      // The guest agent gives it a pipe; Node's is a socket, which can't be opened by a name.
      const command = [program, "--connect-to", `::127.0.0.1:${port}`, ...args];
      const child = spawn("sh", ["-c", 'cat | "$@"', "sh", ...command]);
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (data) => (stdout += String(data)));
      child.stderr.on("data", (data) => (stderr += String(data)));
      child.stdin.end(input);
      child.once("close", (code) => resolve({ exitCode: code ?? -1, stdout, stderr }));
    });
  return { signal: new AbortController().signal, leftMs: () => 1000 - (performance.now() - begun), run };
}

test.each<[string, number, string, RegExp]>([
  ["valid", 0, "passed", /^GET \/ answered 200, chain and name verified$/],
  ["younger than the guest's clock", -2 * DAY, "failed", /problem: certificate is not yet valid/],
  ["older than the guest's clock lets it be", 1000 * DAY, "failed", /problem: certificate has expired/],
])("a certificate that is %s", async (_, ageMs, status, detail) => {
  const { root, port } = await proxy(ageMs);
  const watch = new ContainerWatch(async () => ({ states: parseStates("/web\trunning\thealthy\t0\t0\t2026-11-20") }));
  const outcome = await checkHttp(guestOf(port), watch, {
    ...{ kind: "http" as const, name: "answers", hostName: HOST, containers: ["web"], path: "/", expectStatus: 200 },
    rootCertificatePem: root,
  });
  expect(outcome).toEqual({ status, detail: expect.stringMatching(detail) as string });
});
