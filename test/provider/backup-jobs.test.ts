/** That a drill's VM is in no backup job: what the lab's API shows, what is refused, and that the remedy helps. */
import { readJournal } from "../../provider/journal";
import { jobsAfterRestore, requireNoJobFor } from "../../provider/backup-jobs";
import type { PveClient } from "../../pve/client";
import { ApiLab, TOKEN } from "../lab/api-lab";
import { FakeDrill } from "./support/fake-drill";

const LIMITED = "ops@pve!limited=22222222-2222-3333-4444-555555555555";
const GUEST = { vmId: 9200, node: "pve" };
const HEAD = "Unable to begin a drill with VM 9200 on pve: ";
const ADVICE = "Take it out, or its archive would pass for a backup; on the node: ";

async function withJobs(
  jobs: readonly Readonly<Record<string, string | number>>[],
  run: (api: ApiLab, client: PveClient) => Promise<void>,
): Promise<void> {
  await using api = await ApiLab.start();
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  for (const [index, job] of jobs.entries()) {
    await api.ok("POST", "/cluster/backup", { id: `job-${index}`, schedule: "02:00", storage: "nas", ...job });
  }
  await run(api, api.client());
}

test.each<[string, Readonly<Record<string, string | number>>, string, string]>([
  ["takes all", { all: 1 }, "takes all guests and so this one too", "--exclude 9200"],
  [
    "leaves others out",
    { all: 1, exclude: "101,102" },
    "takes all guests and so this one too",
    "--exclude 101,102,9200",
  ],
  ["names it beside others", { vmid: "200,9200" }, "names it", "--vmid 200"],
])("a job that %s is refused, and helped by its remedy", async (_, job, why, remedy) =>
  withJobs([job], async (api, client) => {
    await expect(requireNoJobFor(client, GUEST)).rejects.toThrow(
      `${HEAD}backup job job-0 ${why}. ${ADVICE}pvesh set /cluster/backup/job-0 ${remedy}`,
    );
    const [option = "", value = ""] = remedy.slice(2).split(" ");
    await api.ok("PUT", "/cluster/backup/job-0", { [option]: value });
    await requireNoJobFor(client, GUEST);
  }),
);

test("every job is named at once", async () =>
  withJobs([{ vmid: "9200" }, { all: 1 }], async (_api, client) =>
    expect(requireNoJobFor(client, GUEST)).rejects.toThrow(
      `${HEAD}backup job job-0 names it; backup job job-1 takes all guests and so this one too. ` +
        `${ADVICE}pvesh delete /cluster/backup/job-0; pvesh set /cluster/backup/job-1 --exclude 9200`,
    ),
  ));

test("jobs that don't take it are fine: of others, disabled, of another node, that leave it out", async () =>
  withJobs(
    [{ vmid: 200 }, { all: 1, enabled: 0 }, { all: 1, node: "pve2" }, { all: 1, exclude: "9200" }, { pool: "media" }],
    async (api, client) => {
      api.lab.pools.put({ poolid: "media", vms: [], storages: [] });
      await requireNoJobFor(client, GUEST);
      await requireNoJobFor(client, { ...GUEST, pool: "drills" });
      await expect(requireNoJobFor(client, { ...GUEST, pool: "media" })).rejects.toThrow(
        `${HEAD}backup job job-4 takes pool media, which the VM is in. ` +
          `${ADVICE}pvesh set /cluster/backup/job-4 --enabled 0, or another pool for drills`,
      );
    },
  ));

test("a token that can't see the jobs proves nothing", async () => {
  const acl = [{ path: "/vms", who: "ops@pve", role: "Looker", propagate: true }];
  const access = { roles: { Looker: ["VM.Audit" as const] }, acl, separatedTokens: [] };
  await using api = await ApiLab.start({ apiTokens: [TOKEN, LIMITED], access });
  const text =
    "Unable to make sure that no backup job takes VM 9200: the token may not see the backup jobs " +
    "(Permission check failed (/, Sys.Audit)). Grant it Sys.Audit on / without propagation (npm run homelab -- roles).";
  await expect(requireNoJobFor(api.client(LIMITED), GUEST)).rejects.toThrow(text);
  await expect(jobsAfterRestore(api.client(LIMITED), GUEST)).rejects.toThrow(text);
});

test("after the restore Proxmox itself counts, and finds what no look at the jobs foresaw", async () =>
  withJobs([{ vmid: 200 }, { pool: "media" }, { all: 1, enabled: 0, node: "pve2" }], async (api, client) => {
    api.lab.guests.write(9200, { current: { name: "docker-drill" } });
    api.lab.pools.put({ poolid: "media", vms: [], storages: [] });
    expect(await jobsAfterRestore(client, GUEST)).toEqual([]);
    await api.ok("PUT", "/pools", { poolid: "media", vms: "9200" });
    expect(await jobsAfterRestore(client, GUEST)).toEqual([
      "Proxmox counts it among the guests of a backup job, although no enabled one names it, its pool or all guests",
    ]);
    await api.ok("PUT", "/cluster/backup/job-1", { enabled: 0 });
    expect(await jobsAfterRestore(client, { ...GUEST, pool: "media" })).toEqual([]);
    await api.ok("PUT", "/cluster/backup/job-0", { vmid: "200,9200" });
    expect(await jobsAfterRestore(client, GUEST)).toEqual([
      "backup job job-0 names it (pvesh set /cluster/backup/job-0 --vmid 200)",
    ]);
  }));

test("a drill's removal leaves what jobs leave out as it is", async () =>
  withJobs([{ all: 1, exclude: "9200" }], async (api) => {
    await using drill = await FakeDrill.make();
    const { states } = await drill.drill();
    await drill.destroy(states);
    const removal = drill.pve.writes.find(({ call }) => call.startsWith("DELETE /nodes/pve/qemu/9200"));
    api.lab.guests.write(9200, { current: { name: "docker-drill" } });
    await api.task("DELETE", "/nodes/pve/qemu/9200", Object.fromEntries(removal?.parameters ?? []));
    expect(await api.ok("GET", "/cluster/backup/job-0")).toMatchObject({ all: 1, exclude: "9200" });
  }));

describe("a drill", () => {
  let drill: FakeDrill;
  beforeEach(async () => {
    drill = await FakeDrill.make();
  });
  afterEach(async () => drill[Symbol.asyncDispose]());

  test("does not restore while a job takes its VM, and its evidence says so", async () => {
    drill.pve.jobs.push({ id: "all", all: 1, storage: "nas" });
    const { run, verdict } = await drill.drill();
    await expect(verdict).rejects.toThrow("backup job all takes all guests and so this one too");
    expect(drill.pve.writes).toEqual([]);
    expect((await readJournal(run.runDir)).map(({ type }) => type)).not.toContain("restore-requested");
  });

  test("does not start a VM that a job takes since, and removes it", async () => {
    drill.pve.afterRestore = () => void drill.pve.vmsInJobs.add(9200);
    const { states, verdict } = await drill.drill();
    await expect(verdict).rejects.toThrow("Proxmox counts it among the guests of a backup job");
    expect(drill.pve.vms.get(9200)?.status).toBe("stopped");
    expect(drill.pve.writes.map(({ call }) => call)).not.toContain("POST /nodes/pve/qemu/9200/status/start");
    await drill.destroy(states);
    expect(drill.pve.vms.has(9200)).toBe(false);
  });
});
