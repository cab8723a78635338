/** Backup and drill as they should go. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { nodeCommand } from "../../cli/lab/node-command";
import { destroyDrill, drill, DRILL_VM, type DrillResult, journal, remainsOfDrill } from "../support/drill-run";
import { backupNow, client, inGuest, lab, pulumi, pulumiAnyway, run } from "../support/rehearsal-lab";

const MINUTE = 60_000;
const TITLE = "written before the backup";
const COUNT = `docker exec postgres psql -XtA -U homelab -d miniflux -c "select count(*) from categories where title = '${TITLE}'"`;

export function drillTests(): void {
  let archive: string;
  let passed: DrillResult | undefined;
  const standing = (): DrillResult => {
    if (passed === undefined) throw new Error("No drill stands, because the test of the drill itself failed.");
    return passed;
  };

  test(
    "data goes in through the front door",
    async () => {
      const secrets = z.record(z.string(), z.string()).parse(JSON.parse(readFileSync(lab().secretsFile, "utf8")));
      const root = join(lab().project, "trust", "example.net-proxy-root.pem");
      const command = nodeCommand("cli/rehearsal/inside.ts", [
        "write-row",
        "https://rss.example.net",
        root,
        TITLE,
        "admin",
      ]);
      const ended = await run(command, { env: { MINIFLUX_PASSWORD: secrets["minifluxAdminPassword"] ?? "" } });
      expect(ended).toMatchObject({ code: 0 });
      expect(await inGuest(200, COUNT)).toBe("1");
    },
    5 * MINUTE,
  );

  test(
    "the declared job runs at once and leaves an archive on the NAS",
    async () => {
      archive = await backupNow();
      expect(archive).toMatch(/^nas:backup\/vzdump-qemu-200-\d{4}(_\d\d){2}-\d\d(_\d\d){2}\.vma\.zst$/);
      expect(existsSync(join(lab().dir, "fs/mnt/pve/nas/dump", archive.replace("nas:backup/", "")))).toBe(true);
    },
    10 * MINUTE,
  );

  test(
    "the preview of a drill names the archive that it would restore and touches nothing",
    async () => {
      const { output } = await pulumi(["preview", "-s", "drill", "--diff"]);
      expect(output).toContain(archive);
      expect(await remainsOfDrill()).toEqual([]);
    },
    5 * MINUTE,
  );

  test(
    "a drill restores that archive, proves it and passes",
    async () => {
      const result = await drill();
      const { ended, evidence } = result;
      if (evidence.verdict !== "passed") throw new Error(`${evidence.reasons.join("\n")}\n${ended.output}`);
      expect(ended.code).toBe(0);
      expect(evidence.source.archive).toBe(archive);
      expect(evidence.checks.length).toBeGreaterThan(6);
      expect(evidence.checks.every(({ status }) => status === "passed")).toBe(true);
      expect(readFileSync(join(result.runDir, "report.md"), "utf8")).toContain(archive);
      passed = result;
    },
    25 * MINUTE,
  );

  test("from inside nothing answers it, and every probe is answered on production's VM", () => {
    const { isolation, findings, phases } = standing().evidence;
    expect(isolation.map(({ probe, outcome, control }) => `${probe}: ${outcome}, control ${control}`)).toEqual([
      "gateway 192.168.20.1:53: silent, control answered",
      expect.stringMatching(/^VM 200 \[fe80::[0-9a-f:]+\]:22: silent, control answered$/),
      "Proxmox API 192.168.20.1:8006: silent, control answered",
      "outside 1.1.1.1:443: silent, control answered",
      "anyone on its network: silent, control answered",
    ]);
    expect(findings.filter((text) => /control|proves nothing/i.test(text))).toEqual([]);
    expect(phases.find(({ phase }) => phase === "isolation")?.detail).toBe(
      "5 probes from inside, none answered; 5 of them are answered on the source VM",
    );
  });

  test("RTO and RPO are measured, and the phases add up to the RTO", () => {
    const { rto, rpo, phases, findings } = standing().evidence;
    const sum = phases.reduce((total, { seconds }) => total + seconds, 0);
    expect(rto.seconds).toBeCloseTo(sum, 1);
    expect(rto.seconds).toBeLessThan(standing().seconds);
    expect(rpo.seconds).toBeGreaterThan(0);
    expect(rpo.recoveryPoint).not.toBeNull();
    expect(findings.filter((text) => text.includes("clock"))).toEqual([]);
  });

  test(
    "what was written before the backup is in the restored machine",
    async () => {
      expect(await inGuest(DRILL_VM, COUNT)).toBe("1");
    },
    MINUTE,
  );

  test(
    "the restored machine is alone: its cards are on the isolated bridge, its MAC is another one",
    async () => {
      const schema = z.looseObject({ net0: z.string(), onboot: z.number().optional() });
      const config = await client.get(`/nodes/pve/qemu/${DRILL_VM}/config`, schema);
      const original = await client.get("/nodes/pve/qemu/200/config", schema);
      expect(config.net0).toContain("bridge=vmbr99");
      expect(config.net0).not.toContain(/virtio=([^,]+)/.exec(original.net0)?.[1]);
      expect(config.onboot ?? 0).toBe(0);
      await expect(inGuest(DRILL_VM, "ping -c 1 -W 2 192.168.20.1")).rejects.toThrow("100% packet loss");
    },
    MINUTE,
  );

  test("the drill made no call but the allowed ones", () => {
    expect(standing().forbidden).toEqual([]);
  });

  test(
    "a standing drill never shows its verdict as a new one",
    async () => {
      const { runId } = standing().evidence;
      const { code, output } = await pulumiAnyway(["up", "-s", "drill", "--yes"]);
      expect(code).not.toBe(0);
      expect(output).toMatch(/pulumi destroy/);
      expect(output).toContain(runId);
    },
    5 * MINUTE,
  );

  test(
    "destroy leaves nothing but the evidence",
    async () => {
      const { runDir } = standing();
      expect(await destroyDrill()).toEqual([]);
      expect(await remainsOfDrill()).toEqual([]);
      expect(existsSync(join(runDir, "drill.json"))).toBe(true);
      expect(journal(runDir).at(-1)?.type).toBe("removed");
    },
    10 * MINUTE,
  );
}
