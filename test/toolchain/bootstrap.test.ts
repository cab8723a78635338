import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";

const bootstrap = path.join(__dirname, "..", "..", "toolchain", "bootstrap.mjs");

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "bootstrap-test-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

function start(program: string, ...args: string[]) {
  const file = path.join(dir, "program.ts");
  writeFileSync(file, program);
  const child = spawn(process.execPath, [bootstrap, file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.on("exit", (code, signal) => resolve({ code, signal })),
  );
  return { child, ended };
}

it("runs TypeScript with its arguments and passes its output and exit code on", async () => {
  const { child, ended } = start(
    "const a: string = process.argv.slice(2).join(); console.log(a); process.exitCode = 7;",
    "x",
    "--y",
  );
  let output = "";
  child.stdout.on("data", (data: Buffer) => (output += data.toString()));
  expect(await ended).toEqual({ code: 7, signal: null });
  expect(output).toBe("x,--y\n");
}, 30_000);

it("passes a signal on and ends as the program ends", async () => {
  const wait = 'process.on("SIGTERM", () => process.exit(9)); console.log("up"); setInterval(() => undefined, 1000);';
  const graceful = start(wait);
  graceful.child.stdout.once("data", () => graceful.child.kill("SIGTERM"));
  expect(await graceful.ended).toEqual({ code: 9, signal: null });

  const plain = start('console.log("up"); setInterval(() => undefined, 1000);');
  plain.child.stdout.once("data", () => plain.child.kill("SIGTERM"));
  expect(await plain.ended).toEqual({ code: null, signal: "SIGTERM" });
}, 30_000);
