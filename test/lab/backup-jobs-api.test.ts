/** Backup jobs, the scheduler and vzdump's parameters. */
import { startVzdump } from "../../lab/vzdump";
import { runDueJobs } from "../../lab/scheduler";
import { ApiLab } from "./api-lab";

const JOB = {
  id: "nightly",
  schedule: "02:00",
  storage: "nas",
  vmid: 200,
  mode: "snapshot",
  compress: "zstd",
  "notes-template": "{{guestname}}",
  "prune-backups": "keep-daily=7,keep-last=3",
  "repeat-missed": 1,
};

async function withJob(run: (api: ApiLab) => Promise<void>): Promise<void> {
  await using api = await ApiLab.start();
  await api.ok("POST", "/storage", { storage: "nas", type: "dir", path: "/mnt/pve/nas", content: "backup" });
  await api.task("POST", "/nodes/pve/qemu", {
    vmid: 200,
    name: "docker",
    scsi0: "local-lvm:1",
    scsi1: "local-lvm:1,backup=0",
  });
  await api.ok("POST", "/cluster/backup/", JOB);
  await run(api);
}

describe("backup jobs", () => {
  test("are read with their properties taken apart", () =>
    withJob(async (api) => {
      const read = {
        id: "nightly",
        type: "vzdump",
        enabled: 1,
        schedule: "02:00",
        storage: "nas",
        vmid: "200",
        mode: "snapshot",
        compress: "zstd",
        "notes-template": "{{guestname}}",
        "prune-backups": { "keep-daily": "7", "keep-last": "3" },
        "repeat-missed": 1,
      };
      expect(await api.ok("GET", "/cluster/backup/nightly")).toEqual(read);
      const [listed] = (await api.ok("GET", "/cluster/backup")) as { "next-run": number }[];
      expect(listed).toEqual({ ...read, "next-run": expect.any(Number) as number });
      expect(new Date((listed?.["next-run"] ?? 0) * 1000).getHours()).toBe(2);
    }));

  test("are changed and deleted", () =>
    withJob(async (api) => {
      await api.ok("PUT", "/cluster/backup/nightly", {
        schedule: "03:30",
        all: 1,
        enabled: 1,
        delete: "notes-template",
      });
      const job = (await api.ok("GET", "/cluster/backup/nightly")) as Record<string, unknown>;
      expect(job).toMatchObject({ schedule: "03:30", all: 1 });
      expect(job).not.toHaveProperty("vmid");
      expect(job).not.toHaveProperty("notes-template");
      await api.ok("DELETE", "/cluster/backup/nightly");
      const missing = await api.call("GET", "/cluster/backup/nightly");
      expect([missing.status, missing.body.errors]).toEqual([400, { id: "No such job 'nightly'" }]);
    }));

  test.each([
    [{}, 500, "Job 'nightly' already exists"],
    [{ id: "other", vmid: 200, all: 1 }, 400, "Parameter verification failed."],
    [{ id: "other", schedule: "often" }, 400, "Parameter verification failed."],
    [
      { id: "other", schedule: "*-*-1 02:00" },
      501,
      "The lab does not emulate dates in calendar events ('*-*-1 02:00').",
    ],
    [
      { id: "other", fleecing: "enabled=1" },
      501,
      "The lab does not emulate parameter 'fleecing' of 'POST /cluster/backup'.",
    ],
  ])("are refused: %j", (form, status, reason) =>
    withJob(async (api) => {
      const answer = await api.call("POST", "/cluster/backup", { ...JOB, ...form });
      expect([answer.status, answer.reason]).toEqual([status, reason]);
    }),
  );

  test("need a schedule and guests", () =>
    withJob(async (api) => {
      const problems = async (form: Record<string, string>) =>
        (await api.call("POST", "/cluster/backup", form)).body.errors;
      expect(await problems({ id: "other", vmid: "200" })).toHaveProperty("schedule");
      expect(await problems({ id: "other", schedule: "02:00" })).toHaveProperty("vmid");
    }));

  test("say which volumes they include, and which guests none does", () =>
    withJob(async (api) => {
      await api.task("POST", "/nodes/pve/qemu", { vmid: 201, name: "bare" });
      expect(await api.ok("GET", "/cluster/backup/nightly/included_volumes")).toMatchObject({
        children: [
          {
            id: 200,
            children: [
              { id: "scsi0", included: 1, reason: "enabled" },
              { id: "scsi1", included: 0, reason: "backup=no" },
            ],
          },
        ],
      });
      expect(await api.ok("GET", "/cluster/backup-info/not-backed-up")).toEqual([
        { vmid: 201, type: "qemu", name: "bare" },
      ]);
    }));
});

describe("the scheduler", () => {
  const at = (hour: number, minute: number): Date => new Date(2026, 10, 18, hour, minute, 30);

  test("runs a job once when it is due", () =>
    withJob(async (api) => {
      const started: string[] = [];
      const look = (now: Date): void => {
        runDueJobs({ ...api.lab, now: () => now }, at(0, 0).getTime(), (job) => started.push(job.id), fail);
      };
      look(at(1, 0));
      look(at(1, 59));
      expect(started).toEqual([]);
      look(at(2, 0));
      look(at(2, 1));
      expect(started).toEqual(["nightly"]);
    }));

  test("makes up for a missed time only where the job says so", () =>
    withJob(async (api) => {
      await api.ok("POST", "/cluster/backup", { ...JOB, id: "forgetful", "repeat-missed": 0 });
      const started: string[] = [];
      const look = (now: Date, bootedAt: Date): void => {
        runDueJobs({ ...api.lab, now: () => now }, bootedAt.getTime(), (job) => started.push(job.id), fail);
      };
      look(at(1, 0), at(0, 0));
      look(at(5, 0), at(4, 0));
      expect(started).toEqual(["nightly"]);
    }));

  test("leaves disabled jobs alone", () =>
    withJob(async (api) => {
      await api.ok("PUT", "/cluster/backup/nightly", { enabled: 0 });
      for (const hour of [1, 3])
        runDueJobs({ ...api.lab, now: () => at(hour, 0) }, 0, () => fail("a disabled job ran"), fail);
    }));
});

describe("vzdump", () => {
  test("hands the engine what was asked, with the storage's folder", () =>
    withJob(async (api) => {
      const { exitStatus, upid } = await api.task("POST", "/nodes/pve/vzdump", {
        vmid: 200,
        storage: "nas",
        mode: "stop",
        compress: "zstd",
        zstd: 2,
        "prune-backups": "keep-last=3",
        "notes-template": "{{guestname}}",
        protected: 1,
      });
      expect(exitStatus).toBe("OK");
      expect(upid).toContain(":vzdump:200:");
      expect(api.backups.vzdumps).toMatchObject([
        {
          vmIds: [200],
          storage: "nas",
          dumpDir: `${api.lab.spec.dir}/fs/mnt/pve/nas/dump`,
          dumpDirLabel: "/mnt/pve/nas/dump",
          mode: "stop",
          compress: "zstd",
          zstdThreads: 2,
          pruneBackups: { keepLast: 3 },
          notesTemplate: "{{guestname}}",
          protected: true,
          commandLine:
            "vzdump 200 --compress zstd --mode stop --notes-template '{{guestname}}' --protected 1 --prune-backups keep-last=3 --storage nas --zstd 2",
        },
      ]);
    }));

  test("fails in the task where the storage takes no backups", () =>
    withJob(async (api) => {
      const dump = async (storage: string) =>
        (await api.task("POST", "/nodes/pve/vzdump", { vmid: 200, storage })).exitStatus;
      expect(await dump("local-lvm")).toBe("can't use storage 'local-lvm' for backups - wrong content type");
      expect(await dump("gone")).toContain("storage 'gone' does not exist");
    }));

  test("needs to be told which guests, in one way", () =>
    withJob(async (api) => {
      const errors = async (form: Record<string, string | number>) =>
        (await api.call("POST", "/nodes/pve/vzdump", form)).body.errors;
      expect(await errors({})).toEqual({ vmid: "property is missing and it is not optional" });
      expect(await errors({ vmid: 200, all: 1 })).toEqual({ all: "option conflicts with option 'vmid'" });
      expect(await errors({ vmid: "two" })).toHaveProperty("vmid");
    }));

  test("answers OK where no guest is meant", () =>
    withJob(async (api) => {
      expect(startVzdump(api.lab, { all: true, exclude: "200" }, { user: "root@pam" })).toBe("OK");
    }));
});

function fail(message: string): never {
  throw new Error(message);
}
