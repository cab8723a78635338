/** What a rehearsal leaves of a lab that is about to go. No machine runs: its console is a file in the folder of a lab. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { labPaths } from "../../../cli/lab/paths";
import { Progress } from "../../../cli/progress";
import { endRehearsal } from "../../../cli/rehearsal/ending";
import { recordRefusal } from "../../../provider/refusal";

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "ending-"))));
afterEach(() => rmSync(dir, { recursive: true }));

/** How a drill ended whose verdict is this one. */
async function end(verdict: "passed" | "failed"): Promise<{ code: number; printed: string; copy: string }> {
  const run = {
    ...({ kind: "drill", stack: "drill", node: "pve", vmId: 9200, vmName: "drill-docker", sourceVmId: 200 } as const),
    ...{ rtoTargetSeconds: 600, rpoTargetSeconds: 600, environmentNotes: [], evidenceDir: dir, restorePoint: null },
  };
  const { evidence, reportFile } = await recordRefusal(run, "no agent");
  const paths = { ...labPaths("ending"), dir };
  mkdirSync(join(dir, "run"));
  writeFileSync(join(dir, "run", "9200.console.log"), "You are in emergency mode.\n");
  let printed = "";
  const output = { write: (text: string) => void (printed += text), isTerminal: false, columns: () => 80 };
  using progress = new Progress(join(dir, "rehearse.log"), output);
  const code = endRehearsal({ evidence: { ...evidence, verdict }, reportFile }, paths, progress);
  return { code, printed, copy: join(dir, "rehearse.log.9200.console.log") };
}

test("a verdict that is not passed keeps the consoles, and says where they are", async () => {
  const { code, printed, copy } = await end("failed");
  expect(code).toBe(1);
  expect(printed).toContain("verdict  FAILED");
  expect(printed).toContain(`console  ${copy}\n`);
  expect(readFileSync(copy, "utf8")).toBe("You are in emergency mode.\n");
});

test("a verdict that is passed keeps none", async () => {
  const { code, printed, copy } = await end("passed");
  expect(code).toBe(0);
  expect(printed).not.toContain("console ");
  expect(existsSync(copy)).toBe(false);
});
