/** The program that Pulumi starts, asked over the wire as Pulumi does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { credentials } from "@grpc/grpc-js";
import { AnalyzerClient } from "@pulumi/pulumi/proto/analyzer_grpc_pb";
import { AnalyzeRequest, type AnalyzeResponse } from "@pulumi/pulumi/proto/analyzer_pb";

const PROGRAM = resolve(__dirname, "../../policy/homelab-policies");
jest.setTimeout(60_000);

function analyze(port: string, request: AnalyzeRequest): Promise<AnalyzeResponse> {
  const client = new AnalyzerClient(`127.0.0.1:${port}`, credentials.createInsecure());
  return new Promise<AnalyzeResponse>((done, reject) => {
    client.analyze(request, (error, response) => {
      if (error === null) done(response);
      else reject(error);
    });
  }).finally(() => client.close());
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  const [line] = (await once(createInterface({ input: stream }), "line")) as [string];
  return line;
}

test("through a link and from another folder; without a configuration nothing passes", async () => {
  const dir = await mkdtemp(join(tmpdir(), "homelab-policies-"));
  await symlink(PROGRAM, join(dir, "link"));
  const child = spawn(join(dir, "link"), ["127.0.0.1:1"], { cwd: dir, stdio: ["ignore", "pipe", "inherit"] });
  try {
    const port = await firstLine(child.stdout);
    const request = new AnalyzeRequest().setType("docker:index/volume:Volume").setName("data");
    await expect(analyze(port, request)).rejects.toThrow(
      "Unable to judge the stack by the homelab's policies: Pulumi did not tell its configuration. Use Pulumi 3.259 or newer.",
    );
    expect((await analyze(port, request.setType("pulumi:pulumi:Stack"))).getDiagnosticsList()).toEqual([]);
  } finally {
    child.kill();
    await rm(dir, { recursive: true });
  }
});

test("ends when the process that started it was killed", async () => {
  const script = `"${PROGRAM}" 127.0.0.1:1 & echo "$!"; wait`;
  const parent = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: parent.stdout });
  const [pid] = (await once(lines, "line")) as [string];
  await once(lines, "line");
  expect(() => process.kill(Number(pid), 0)).not.toThrow();
  parent.kill("SIGKILL");
  // The child holds the pipe: it closes when the child is gone.
  await once(lines, "close");
});
