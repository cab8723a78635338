/** `homelab backup now` against the lab's API server; what a backup does stands in the engine's own tests. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupNow } from "../../cli/backup";
import { chooseJob, requireStorage, runNowParameters } from "../../cli/backup-job";
import { Interrupted } from "../../cli/errors";
import { Progress } from "../../cli/progress";
import type { ProdConfig } from "../../stacks/config";
import { ApiLab } from "../lab/api-lab";

const ARCHIVE = "vzdump-qemu-200-2026_11_20-02_00_05.vma.zst";

test("a job's parameters go to vzdump without its schedule, objects as property strings", () => {
  const job = {
    ...{ id: "backup-200", type: "vzdump", enabled: 1, schedule: "02:00", "next-run": 1, comment: "x", node: "pve" },
    ...{ "repeat-missed": 0, vmid: "200", storage: "nas", mode: "snapshot", compress: "zstd" },
    "prune-backups": { "keep-last": "3", "keep-daily": 7 },
    fleecing: { enabled: 1, storage: "local" },
    "notes-template": "{{guestname}}",
    "exclude-path": ["/tmp/?*", "/var/cache"],
    ...{ protected: false, remove: true },
    performance: { "pbs-entries-max": 5, "max-workers": false },
  };
  expect(runNowParameters(job)).toEqual({
    vmid: "200",
    storage: "nas",
    mode: "snapshot",
    compress: "zstd",
    "prune-backups": "keep-last=3,keep-daily=7",
    fleecing: "enabled=1,storage=local",
    "notes-template": "{{guestname}}",
    "exclude-path": ["/tmp/?*", "/var/cache"],
    ...{ protected: "0", remove: "1" },
    performance: "pbs-entries-max=5,max-workers=0",
  });
});

test("the job that names the VM is chosen, and only a clear choice is made", () => {
  const jobs = [
    { id: "a", vmid: "100,200" },
    { id: "b", vmid: "300" },
    { id: "c", vmid: 200 },
    { id: "rest", all: 1, exclude: "500" },
    { id: "other-node", all: 1, node: "pve2" },
  ];
  const choose = (vmId: number, wanted?: string): string => chooseJob(jobs, { vmId, node: "pve" }, wanted).id;
  expect(choose(300)).toBe("b");
  expect(choose(200, "c")).toBe("c");
  expect(() => choose(200)).toThrow("several jobs take it (a, c). Choose one with --job.");
  expect(choose(400)).toBe("rest");
  expect(() => choose(500)).toThrow("no backup job takes it. Jobs: a, b, c, rest, other-node.");
  expect(() => choose(200, "z")).toThrow('there is no job "z"');
  expect(() => choose(500, "rest")).toThrow("job rest does not take it. Choose another with --job.");
});

test("a job that writes where no drill looks is refused before anything is started", () => {
  expect(() => requireStorage({ id: "a", storage: "nas" }, 200, "nas")).not.toThrow();
  expect(() => requireStorage({ id: "a", storage: "usb" }, 200, "nas")).toThrow(
    'Unable to back up VM 200: job a writes to storage "usb", but homelab:backupStorage is "nas". ' +
      "Run `pulumi up -s prod` to bring the job back to what is declared, or choose another job with --job.",
  );
  expect(() => requireStorage({ id: "a" }, 200, "nas")).toThrow("job a names no storage, but");
});

describe("a backup", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "backup-now-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const config = { dockerVm: { vmId: 200 } as ProdConfig["dockerVm"], backupStorage: "nas" };

  async function withJob(
    run: (api: ApiLab, backup: (signal?: AbortSignal) => Promise<string>) => Promise<void>,
    source: Readonly<Record<string, string>> = { type: "dir", path: "/mnt/pve/nas" },
  ) {
    await using api = await ApiLab.start();
    await api.ok("POST", "/storage", { storage: "nas", content: "backup", ...source });
    await api.task("POST", "/nodes/pve/qemu", { vmid: 200, name: "docker", scsi0: "local-lvm:1" });
    await api.ok("POST", "/cluster/backup/", { id: "nightly", schedule: "02:00", storage: "nas", vmid: 200 });
    using progress = new Progress(join(dir, "log"), { write: () => undefined, isTerminal: false, columns: () => 80 });
    const client = api.client();
    await run(api, async (signal) => (await backupNow({ config, progress, client, signal })).volid);
  }

  const sources: Readonly<Record<string, string>>[] = [
    { type: "dir", path: "/mnt/pve/nas" },
    { type: "nfs", server: "nas.lan", export: "/tank" },
  ];
  test.each(sources)("gives the new archive on a storage %j", (source) =>
    withJob(async (api, backup) => {
      api.backups.onVzdump = async ({ dumpDir }) => {
        mkdirSync(dumpDir, { recursive: true });
        writeFileSync(join(dumpDir, ARCHIVE), "an archive");
        return Promise.resolve();
      };
      expect(await backup()).toBe(`nas:backup/${ARCHIVE}`);
    }, source),
  );

  test("that fails says why and what to do, with the end of the log", () =>
    withJob(async (api, backup) => {
      api.backups.onVzdump = async (_, { log }) => {
        log("INFO: starting");
        return Promise.reject(new Error("no space left on device"));
      };
      await expect(backup()).rejects.toThrow(
        /^Unable to back up VM 200: the task UPID:pve:\S+ failed: no space left on device\. Mend what its log names and start again\.\nEnd of its log:\n {2}INFO: starting\n/,
      );
    }));

  test("that makes nothing is no success", () =>
    withJob(async (_api, backup) => {
      await expect(backup()).rejects.toThrow("the task ended well, but storage nas shows no new archive.");
    }));

  test("is stopped in Proxmox when the command is interrupted", () =>
    withJob(async (api, backup) => {
      const interrupt = new AbortController();
      let stopped = false;
      api.backups.onVzdump = async (_, { signal }) => {
        setImmediate(() => interrupt.abort(new Interrupted("SIGINT")));
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        stopped = true;
        signal.throwIfAborted();
      };
      await expect(backup(interrupt.signal)).rejects.toThrow(
        "Interrupted by SIGINT. The backup task of VM 200 was stopped; there is no new archive.",
      );
      expect(stopped).toBe(true);
    }));
});
