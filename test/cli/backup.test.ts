import { chooseJob, runNowParameters } from "../../cli/backup";

test("a job's parameters go to vzdump without its schedule, objects as property strings", () => {
  const job = {
    ...{ id: "backup-200", type: "vzdump", enabled: 1, schedule: "02:00", "next-run": 1, comment: "x", node: "pve" },
    ...{ "repeat-missed": 0, vmid: "200", storage: "nas", mode: "snapshot", compress: "zstd" },
    "prune-backups": { "keep-last": "3", "keep-daily": 7 },
    fleecing: { enabled: 1, storage: "local" },
    "notes-template": "{{guestname}}",
  };
  expect(runNowParameters(job)).toEqual({
    vmid: "200",
    storage: "nas",
    mode: "snapshot",
    compress: "zstd",
    "prune-backups": "keep-last=3,keep-daily=7",
    fleecing: "enabled=1,storage=local",
    "notes-template": "{{guestname}}",
  });
});

test("the job that names the VM is chosen, and only a clear choice is made", () => {
  const jobs = [
    { id: "a", vmid: "100,200" },
    { id: "b", vmid: "300" },
    { id: "c", vmid: 200 },
  ];
  expect(chooseJob(jobs, 300, undefined).id).toBe("b");
  expect(chooseJob(jobs, 200, "c").id).toBe("c");
  expect(() => chooseJob(jobs, 200, undefined)).toThrow("several jobs name it (a, c). Choose one with --job.");
  expect(() => chooseJob(jobs, 400, undefined)).toThrow("no backup job names it. Jobs: a, b, c.");
  expect(() => chooseJob(jobs, 200, "z")).toThrow('there is no job "z"');
});
