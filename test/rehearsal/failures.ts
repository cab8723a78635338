/** Failures that must come out right: a failed verdict with evidence, a non-zero exit, and nothing left after `destroy`. */
import { copyFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { switchFault } from "../../cli/lab/fault";
import { vmStatus } from "../../pve/nodes/qemu";
import { destroyDrill, drill, DRILL_VM, type DrillResult, projectWith, remainsOfDrill } from "../support/drill-run";
import { backupNow, client, inGuest, lab } from "../support/rehearsal-lab";
import { generatedArchiveName, writeGeneratedArchive } from "../support/vma-generator";

const MINUTE = 60_000;

function dumpDir(): string {
  return join(lab().dir, "fs/mnt/pve/nas/dump");
}

function expectFailure({ ended, evidence, forbidden }: DrillResult, reason: RegExp): void {
  expect(evidence.verdict).toBe("failed");
  expect(ended.code).not.toBe(0);
  expect(evidence.reasons.join("\n")).toMatch(reason);
  expect(evidence.rto.seconds).toBeNull();
  expect(forbidden).toEqual([]);
}

/** Whether a drill of a failed test may still stand, which the next one would refuse. */
let standing = false;

async function startDrill(cwd?: string): Promise<DrillResult> {
  standing = true;
  return drill(cwd);
}

async function expectNothingLeft(): Promise<void> {
  expect(await destroyDrill()).toEqual([]);
  standing = false;
  expect(await remainsOfDrill()).toEqual([]);
}

export function failureTests(): void {
  let stoppedArchive: string;

  afterEach(async () => {
    if (standing) await destroyDrill();
    standing = false;
  }, 5 * MINUTE);

  test(
    "a container that was stopped at the time of the backup is named",
    async () => {
      await inGuest(200, "docker stop miniflux");
      try {
        stoppedArchive = await backupNow();
      } finally {
        await inGuest(200, "docker start miniflux");
      }
      const result = await startDrill();
      expectFailure(result, /miniflux/);
      const failed = result.evidence.checks.filter(({ status }) => status === "failed");
      expect(
        failed.some(
          ({ service, kind, detail }) => service === "miniflux" && kind === "container" && /exited/i.test(detail),
        ),
      ).toBe(true);
      const others = result.evidence.checks.filter(
        ({ service, kind }) => service === "postgres" && kind === "container",
      );
      expect(others.map(({ status }) => status)).toEqual(["passed"]);
      await expectNothingLeft();
    },
    30 * MINUTE,
  );

  test(
    "way-out: a VM with a way out that Proxmox does not show is stopped before any service is checked",
    async () => {
      await switchFault({ paths: lab(), name: "way-out", off: false, scope: { vm: DRILL_VM } });
      const result = await startDrill().finally(() => switchFault({ paths: lab(), name: "off", off: true, scope: {} }));
      expectFailure(
        result,
        /phase isolation failed: VM 9200 has a way out of its isolated network: gateway .* answered/,
      );
      const { isolation, checks } = result.evidence;
      // Production has the same address, so it is chance whom an answer over IPv4 reaches: the outside may stay silent.
      const answered = isolation.filter(({ outcome }) => outcome === "answered").map(({ probe }) => probe);
      const [gateway, vm, api] = isolation.map(({ probe }) => probe);
      expect(vm).toMatch(/^VM 200 /);
      expect(answered).toEqual(expect.arrayContaining([gateway, vm, api, "anyone on its network"]));
      expect(checks.length).toBeGreaterThan(0);
      expect(checks.every(({ status }) => status === "skipped")).toBe(true);
      expect((await vmStatus(client, "pve", DRILL_VM)).status).toBe("stopped");
      expect((await vmStatus(client, "pve", 200)).status).toBe("running");
      await expectNothingLeft();
    },
    10 * MINUTE,
  );

  test(
    "a truncated archive fails the restore, and its husk goes with destroy",
    async () => {
      const source = join(dumpDir(), stoppedArchive.replace("nas:backup/", ""));
      const truncated = join(dumpDir(), generatedArchiveName(200, new Date(), "vma.zst"));
      copyFileSync(source, truncated);
      truncateSync(truncated, Math.floor(statSync(source).size / 2));
      try {
        const result = await startDrill();
        expectFailure(result, /restore/i);
        expect(result.evidence.checks.every(({ status }) => status === "skipped")).toBe(true);
        await expectNothingLeft();
      } finally {
        rmSync(truncated);
      }
    },
    10 * MINUTE,
  );

  test(
    "a guest that never answers ends in its time limit",
    async () => {
      const guest = { vmId: 200, name: "docker", disks: [{ key: "scsi0", sizeBytes: 32 * 2 ** 20 }] };
      const archive = writeGeneratedArchive(dumpDir(), guest, new Date());
      const cwd = await projectWith({ timeouts: { agentSeconds: 30 } });
      try {
        const result = await startDrill(cwd);
        expectFailure(result, /agent/i);
        const agent = result.evidence.phases.find(({ phase }) => phase === "agent");
        expect(agent?.status).toBe("failed");
        expect(agent?.seconds).toBeGreaterThanOrEqual(30);
        expect(agent?.seconds).toBeLessThan(60);
        await expectNothingLeft();
      } finally {
        rmSync(archive);
        await rm(cwd, { recursive: true });
      }
    },
    10 * MINUTE,
  );
}
