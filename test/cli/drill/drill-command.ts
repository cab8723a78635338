/** `homelab drill` with a `pulumi` that only writes what a drill would leave. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { parse } from "yaml";
import { readDrillConfig } from "../../../cli/drill/config";
import { type DrillArgs, runDrills } from "../../../cli/drill/drill";
import type { PulumiResult, RunPulumi } from "../../../cli/drill/pulumi";
import { Interrupted } from "../../../cli/errors";
import { REPO_DIR } from "../../../cli/lab/node-command";
import { Progress } from "../../../cli/progress";
import type { VerdictValue } from "../../../provider/contract/evidence";
import { appendEvent, closeAsAborted, writeEvidence } from "../../../provider/journal";
import { newRunId } from "../../../provider/refusal";
import type { DrillConfig } from "../../../stacks/config";
import { plannedRun } from "../../../stacks/planned-run";
import { FakePve } from "../../provider/support/fake-pve";

/** A process id that no process has. */
export const NOBODY = 2 ** 22 + 1;
export const OK: PulumiResult = { code: 0, output: "" };

interface Run {
  readonly runId: string;
  readonly runDir: string;
}

/** Volume id of the archive of this day; there are those of the 18th to the 20th. */
export function archiveAt(day: number): string {
  return `nas:backup/vzdump-qemu-200-2026_11_${day}-02_00_00.vma.zst`;
}

/** The stack's state, as `pulumi stack export` prints it. */
export function stateWith(run?: Run, types: readonly string[] = []): PulumiResult {
  const lease = run === undefined ? [] : [{ type: "homelab:drill:Lease", outputs: { run } }];
  const resources = [...lease, ...types.map((type) => ({ type }))];
  return { code: 0, output: `warning: x\n${JSON.stringify({ deployment: { resources } }, undefined, 2)}\n` };
}

export class DrillCommand implements AsyncDisposable {
  readonly pve = new FakePve();
  /** What `pulumi` was asked, with the archive. */
  commands: string[] = [];
  readonly lines: string[] = [];
  readonly interrupt = new AbortController();
  /** Verdict by archive; "refused": the update fails before a run begins. */
  outcomes: Record<string, VerdictValue | "refused" | "interrupted"> = {};
  destroyResult = OK;
  /** How an update ends that has made its run; by default as its verdict says. */
  upResult: PulumiResult | undefined;
  /** The run in the state, and what stands beside its lease. */
  standing: Run | undefined;
  standingTypes = ["homelab:drill:Verdict"];
  private lastRun: Run | undefined;

  private constructor(
    /** A folder for this test. */
    readonly dir: string,
    readonly config: DrillConfig,
  ) {
    this.pve.backups = [18, 20, 19].map((day) => ({
      ...{ volid: archiveAt(day), ctime: Date.UTC(2026, 10, day, 2) / 1000, size: 5, format: "vma.zst", vmid: 200 },
    }));
    this.pve.backups.push({ volid: "nas:backup/other.vma", ctime: 1, size: 5, format: "vma" });
  }

  static async make(): Promise<DrillCommand> {
    const dir = await mkdtemp(path.join(tmpdir(), "homelab-drill-cli-"));
    const committed = await readDrillConfig(REPO_DIR, "drill");
    return new DrillCommand(dir, { ...committed, files: { ...committed.files, evidence: path.join(dir, "drills") } });
  }

  readonly pulumi: RunPulumi = async ([command = "", ...args]) => {
    if (command === "stack") return stateWith(this.standing, this.standingTypes);
    const file = args[args.indexOf("--config-file") + 1];
    const chosen = args.includes("--config-file")
      ? ((
          parse(await readFile(file ?? "", "utf8")) as { config: Record<string, { restorePoint: { archive: string } }> }
        ).config["homelab:drill"]?.restorePoint.archive ?? "")
      : "configured";
    this.commands.push(`${command} ${chosen}`);
    if (command === "destroy") {
      if (this.lastRun !== undefined && this.interrupt.signal.aborted) await closeAsAborted(this.lastRun, "destroyed");
      if (this.destroyResult.code === 0) this.standing = undefined;
      return this.destroyResult;
    }
    const outcome = this.outcomes[chosen] ?? "passed";
    if (outcome === "refused")
      return { code: 1, output: "Diagnostics:\n    error: has no room\n    error: update failed" };
    await this.leaves(chosen, outcome);
    if (this.upResult !== undefined) return this.upResult;
    return outcome === "passed" ? OK : { code: 1, output: "error: Unable to pass" };
  };

  /** Journal and evidence of a drill of this archive; it stands then. */
  async leaves(
    archive: string,
    verdict: VerdictValue | "interrupted" | "killed",
    { stack = "drill", pid = process.pid }: { stack?: string; pid?: number } = {},
  ): Promise<void> {
    const runId = newRunId("drill", new Date());
    const { evidenceDir, ...run } = plannedRun(this.config, stack);
    const made = { runId, runDir: path.join(evidenceDir, runId) };
    this.lastRun = made;
    if (stack === "drill") this.standing = made;
    const restorePoint = { archive, archiveTime: Date.now() / 1000 - 3600, archiveBytes: 1, notes: "" };
    await appendEvent(made, {
      ...{
        type: "run-started",
        ...run,
        restorePoint: { ...restorePoint, archiveTime: Math.round(restorePoint.archiveTime) },
      },
      ...{ vmUuid: "6f0c1c3e-54a5-4a34-9d54-1a9b6a3f0c11", pid, host: hostname() },
    });
    if (verdict === "killed") return;
    if (verdict === "interrupted") {
      this.interrupt.abort(new Interrupted("SIGINT"));
      return;
    }
    const reasons = verdict === "passed" ? [] : ["web: was not checked"];
    await appendEvent(made, { type: "run-ended", verdict, reasons });
    await writeEvidence(made.runDir);
  }

  /** Gives the exit code. */
  async run(more: Partial<DrillArgs> = {}): Promise<number> {
    const write = (text: string): void => void this.lines.push(...text.split("\n"));
    const output = { write, isTerminal: false, columns: () => 80 };
    using progress = new Progress(path.join(this.dir, "log"), output);
    const { config, pulumi } = this;
    return await runDrills({
      ...{ config, stack: "drill", projectDir: REPO_DIR, selection: { by: "configuration" }, keep: false },
      ...{ pulumi, progress, signal: this.interrupt.signal, client: this.pve.client(), ...more },
    });
  }

  /** The table that was printed. */
  table(): string[] {
    return this.lines
      .filter((line) => /^(?:vzdump|none|archive|configured) ?/.test(line))
      .map((line) => line.replaceAll(/ {2,}/g, " | "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true });
  }
}
