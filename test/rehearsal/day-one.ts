/** A drill of a VM of which this project knows nothing: no catalogue, no canary, no recorded root, no record of deploys. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { switchFault } from "../../cli/lab/fault";
import { destroyDrill, drill, DRILL_VM, projectWith, remainsOfDrill } from "../support/drill-run";
import { lab } from "../support/rehearsal-lab";

const MINUTE = 60_000;

export function dayOneTests(): void {
  test(
    "the generic profile finds out what ran at backup time, also where the guest's clock is a day behind",
    async () => {
      await switchFault({ paths: lab(), name: "guest-clock-behind", off: false, scope: { vm: DRILL_VM } });
      const trust = await mkdtemp(join(lab().dir, "no-trust-"));
      const cwd = await projectWith({ drill: { profile: "generic" }, files: { trust } });
      try {
        const { ended, evidence, forbidden, runDir, seconds } = await drill(cwd);
        if (evidence.verdict !== "passed") throw new Error(`${evidence.reasons.join("\n")}\n${ended.output}`);
        expect(ended.code).toBe(0);
        expect(forbidden).toEqual([]);
        const [whole, ...each] = evidence.checks;
        // The newest archive is the one before which the canary was stopped. In it is a proxy that runs and answers nobody, which
        // this profile can't see: it proves that what ran runs again, and says no more.
        expect(whole).toMatchObject({ service: "containers", status: "passed" });
        expect(whole?.detail).toMatch(/^3 containers ran \(.+\); stopped already before the backup: recovery-canary$/);
        expect(each.map(({ service }) => service).sort()).toEqual(["miniflux", "postgres", "reverse-proxy"]);
        expect(evidence.rpo).toMatchObject({ seconds: null, met: null, recoveryPoint: null });
        expect(evidence.rto.seconds).toBeGreaterThan(0);
        expect(evidence.rto.seconds).toBeLessThan(seconds);
        const clocks = evidence.findings.filter((text) => text.includes("clock"));
        expect(clocks).toEqual([
          expect.stringMatching(/^The clock of the restored guest is 86[34]\d\d s behind node pve's/),
        ]);
        expect(readFileSync(join(runDir, "report.md"), "utf8")).toContain("| RPO | not measured");
      } finally {
        await switchFault({ paths: lab(), name: "off", off: true, scope: {} });
        expect(await destroyDrill()).toEqual([]);
        expect(await remainsOfDrill()).toEqual([]);
        await rm(cwd, { recursive: true });
      }
    },
    15 * MINUTE,
  );
}
