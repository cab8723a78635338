/** What is left of a lab whose work failed: a guest that hangs at its boot says why on its console only. No machine runs. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takeLabDown } from "../../../cli/lab/down";
import { labPaths } from "../../../cli/lab/paths";
import { LAB_VARIABLE } from "../../../cli/lab/processes";
import { printShellHint } from "../../../cli/lab/shell";
import { withLab } from "../../../cli/lab/with-lab";
import { Progress } from "../../../cli/progress";

const ID = `console${process.pid}`;
const paths = labPaths(ID);
let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "consoles-"))));
afterEach(async () => {
  Reflect.deleteProperty(process.env, LAB_VARIABLE);
  await takeLabDown(paths);
  rmSync(dir, { recursive: true });
});

test("when the work in a lab fails, its VMs' consoles outlive it, and it is said where they are", async () => {
  const printed: string[] = [];
  const output = { write: (text: string) => void printed.push(text), isTerminal: false, columns: () => 80 };
  using progress = new Progress(join(dir, "rehearse.log"), output);
  const work = withLab({ id: ID, repoDir: "/", progress, keepOnSuccess: false }, async () => {
    mkdirSync(join(paths.dir, "run"));
    writeFileSync(join(paths.dir, "run", "9200.console.log"), "You are in emergency mode.\n");
    writeFileSync(join(paths.dir, "run", "9200.qemu.log"), "");
    throw new Error("no agent");
  });
  await expect(work).rejects.toThrow("no agent");
  const copy = join(dir, "rehearse.log.9200.console.log");
  expect(printed.join("")).toContain(`console  ${copy}\n`);
  expect(readFileSync(copy, "utf8")).toBe("You are in emergency mode.\n");
});

test("a log that can't be kept is told, and hides neither the error nor the other logs", async () => {
  const printed: string[] = [];
  const output = { write: (text: string) => void printed.push(text), isTerminal: false, columns: () => 80 };
  using progress = new Progress(join(dir, "rehearse.log"), output);
  mkdirSync(join(dir, "rehearse.log.9200.console.log"));
  const work = withLab({ id: ID, repoDir: "/", progress, keepOnSuccess: false }, async () => {
    mkdirSync(join(paths.dir, "run"));
    for (const vm of [9200, 9201]) writeFileSync(join(paths.dir, "run", `${vm}.console.log`), `VM ${vm}\n`);
    throw new Error("no agent");
  });
  await expect(work).rejects.toThrow("no agent");
  const console9200 = join(paths.dir, "run", "9200.console.log");
  expect(printed.join("")).toContain(`Unable to keep ${console9200} beside ${progress.logFile}: `);
  expect(readFileSync(progress.logFile, "utf8")).toMatch(/Unable to keep .*EISDIR/);
  expect(readFileSync(join(dir, "rehearse.log.9201.console.log"), "utf8")).toBe("VM 9201\n");
});

test("a lab that is left running says where they are written", () => {
  expect(printShellHint(ID).join("\n")).toContain(`/var/tmp/homelab-${ID}/run/<VMID>.console.log`);
});
