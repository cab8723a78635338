/** A drill of a VM of which this project knows nothing: no catalogue, no canary, no recorded root, no record of deploys. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { destroyDrill, drill, projectWith, remainsOfDrill } from "../support/drill-run";
import { lab } from "../support/rehearsal-lab";

const MINUTE = 60_000;

export function dayOneTests(): void {
  test(
    "the generic profile finds out what ran at backup time, and proves that it runs again",
    async () => {
      const trust = await mkdtemp(join(lab().dir, "no-trust-"));
      const cwd = await projectWith({ drill: { profile: "generic" }, files: { trust } });
      try {
        const { ended, evidence, forbidden, runDir } = await drill(cwd);
        if (evidence.verdict !== "passed") throw new Error(`${evidence.reasons.join("\n")}\n${ended.output}`);
        expect(ended.code).toBe(0);
        expect(forbidden).toEqual([]);
        const [whole, ...each] = evidence.checks;
        // The newest archive is the one before which Miniflux was stopped.
        expect(whole).toMatchObject({ service: "containers", status: "passed" });
        expect(whole?.detail).toMatch(/^3 containers ran \(.+\); stopped already before the backup: miniflux$/);
        expect(each.map(({ service }) => service).sort()).toEqual(["postgres", "recovery-canary", "reverse-proxy"]);
        expect(evidence.rpo).toMatchObject({ seconds: null, met: null, recoveryPoint: null });
        expect(evidence.rto.seconds).toBeGreaterThan(0);
        expect(readFileSync(join(runDir, "report.md"), "utf8")).toContain("| RPO | not measured");
      } finally {
        expect(await destroyDrill()).toEqual([]);
        expect(await remainsOfDrill()).toEqual([]);
        await rm(cwd, { recursive: true });
      }
    },
    15 * MINUTE,
  );
}
