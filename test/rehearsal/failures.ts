/** Failures that must come out right: a failed verdict with evidence, a non-zero exit, and nothing left after `destroy`. */
import { copyFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { switchFault } from "../../cli/lab/fault";
import { vmStatus } from "../../pve/nodes/qemu";
import { pollUntil } from "../../pve/wait";
import { destroyDrill, drill, DRILL_VM, type DrillResult, projectWith, remainsOfDrill } from "../support/drill-run";
import { backupNow, client, type Ended, inGuest, lab, pulumiAnyway, requests } from "../support/rehearsal-lab";
import { generatedArchiveName, writeGeneratedArchive } from "../support/vma-generator";

const MINUTE = 60_000;

function dumpDir(): string {
  return join(lab().dir, "fs/mnt/pve/nas/dump");
}

/** Where the proxy's Caddyfile is, on the Docker VM. */
const PROXY_FILE = "/var/lib/docker/volumes/reverse-proxy-etc/_data/Caddyfile";

/**
 * Gives the proxy's volume what it holds when it is new. The running proxy does not read it; a restored one starts with it: it
 * runs, is healthy, and answers nobody. The other command brings the file itself back.
 */
const EMPTY_PROXY = `mv ${PROXY_FILE} ${PROXY_FILE}.aside && printf ':80 {\\n  respond 503\\n}\\n' >${PROXY_FILE}`;
const FULL_PROXY = `mv ${PROXY_FILE}.aside ${PROXY_FILE}`;

/** How an update of production ended, and when it ran. */
interface Update extends Ended {
  readonly begunAt: number;
  readonly endedAt: number;
}

/** `pulumi up -s prod` from the moment on at which the drill makes its VM. */
async function updateDuringDrill(): Promise<Update> {
  const before = requests().length;
  const isVmMade = (): boolean =>
    requests()
      .slice(before)
      .some(({ method, path }) => method === "POST" && /\/nodes\/pve\/qemu\/?$/.test(path));
  // A drill that makes none fails by itself.
  await pollUntil({ timeoutMs: 2 * MINUTE, firstPauseMs: 500 }, async () => isVmMade() || undefined);
  const begunAt = Date.now();
  const ended = await pulumiAnyway(["up", "-s", "prod", "--yes", "--expect-no-changes"]);
  return { ...ended, begunAt, endedAt: Date.now() };
}

async function faultsOff(): Promise<void> {
  await switchFault({ paths: lab(), name: "off", off: true, scope: {} });
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

  /** One drill for several faults, because a machine that boots takes a minute. */
  let faulty: { readonly result: DrillResult; readonly update: Update } | undefined;
  const made = (): NonNullable<typeof faulty> => {
    if (faulty === undefined) throw new Error("There is no such drill, because the test that makes it failed.");
    return faulty;
  };

  test(
    "a container that was stopped at the time of the backup is named",
    async () => {
      try {
        await inGuest(200, `docker stop recovery-canary && ${EMPTY_PROXY}`);
        stoppedArchive = await backupNow();
      } finally {
        await inGuest(200, `docker start recovery-canary && ${FULL_PROXY}`);
      }
      // A service that does not answer is asked to the end of this time; every other one has to be up within it.
      const cwd = await projectWith({ timeouts: { checkSeconds: 150 } });
      await switchFault({ paths: lab(), name: "guest-clock-ahead", off: false, scope: { vm: DRILL_VM } });
      try {
        const [result, update] = await Promise.all([startDrill(cwd), updateDuringDrill()]);
        faulty = { result, update };
      } finally {
        await faultsOff();
        await rm(cwd, { recursive: true });
      }
      const { result } = faulty;
      expectFailure(result, /recovery-canary: container is healthy failed: container recovery-canary is exited/);
      const others = result.evidence.checks.filter(({ service }) => service === "postgres");
      expect([...new Set(others.map(({ status }) => status))]).toEqual(["passed"]);
      await expectNothingLeft();
    },
    30 * MINUTE,
  );

  test("a container that runs and does not answer fails the check that asks it, not the one that looks at it", () => {
    const { checks, reasons } = made().result.evidence;
    const looks = checks.filter(({ service, kind }) => kind === "container" && service !== "recovery-canary");
    expect(looks.map(({ service, status }) => `${service} ${status}`).sort()).toEqual([
      ...["miniflux passed", "postgres passed", "reverse-proxy passed"],
    ]);
    expect(looks.find(({ service }) => service === "reverse-proxy")?.detail).toContain("is running and healthy");
    const [asked] = checks.filter(({ kind }) => kind === "http");
    expect(asked).toMatchObject({ service: "miniflux", status: "failed" });
    expect(asked?.detail).toMatch(/^not passed in time; last seen: GET \/healthcheck: curl: \(\d+\)/);
    expect(asked?.detail).not.toMatch(/certificate/i);
    expect(reasons.map((reason) => reason.split(":")[0]).sort()).toEqual(["miniflux", "recovery-canary"]);
  });

  test("production's update while a drill runs changes nothing, and the drill does not take it for its own", () => {
    const { result, update } = made();
    expect(update.output).toContain("unchanged");
    expect(update.code).toBe(0);
    expect(Date.parse(result.evidence.startedAt)).toBeLessThan(update.begunAt);
    expect(update.endedAt).toBeLessThan(Date.parse(result.evidence.endedAt));
  });

  test("a guest whose clock is a day ahead is told, and the RPO does not go by it", () => {
    const { findings, rpo } = made().result.evidence;
    const [clock = "", ...others] = findings.filter((text) => text.includes("clock"));
    expect(others).toEqual([]);
    expect(clock).toMatch(/^The clock of the restored guest is 86[34]\d\d s ahead of node pve's/);
    expect(rpo.seconds).toBeGreaterThan(0);
    expect(rpo.seconds).toBeLessThan(3600);
  });

  test(
    "way-out: a VM with a way out that Proxmox does not show is stopped before any service is checked",
    async () => {
      await switchFault({ paths: lab(), name: "way-out", off: false, scope: { vm: DRILL_VM } });
      const result = await startDrill().finally(faultsOff);
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
