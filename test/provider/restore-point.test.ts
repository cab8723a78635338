import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Candidate, chooseCandidate } from "../../provider/restore-point-choice";
import { createProvider, type StoppableProvider } from "../../provider/plugin";
import { LOOKUP_RESTORE_POINT } from "../../provider/tokens";
import { FakePve, NODE } from "./support/fake-pve";

type Bag = Record<string, unknown>;

let pve: FakePve;
let provider: StoppableProvider;

beforeEach(() => {
  pve = new FakePve();
  provider = createProvider({ client: pve.client() });
});

describe("restore point", () => {
  const lookup = async (more: Bag = {}): Promise<Bag | undefined> => {
    const args = { node: NODE, storage: "nas", sourceVmId: 200, choice: { choose: "latest" }, ...more };
    return (await provider.invoke?.(LOOKUP_RESTORE_POINT, args))?.outputs as Bag | undefined;
  };
  const archiveAt = (hour: number, more: Bag = {}): Bag => ({
    volid: `nas:backup/vzdump-qemu-200-2026_11_20-${String(hour).padStart(2, "0")}_00_00.vma.zst`,
    ...{ ctime: Date.UTC(2026, 10, 20, hour) / 1000, size: 5, format: "vma.zst", vmid: 200, ...more },
  });

  const named = (archive: unknown): Bag => ({ choice: { choose: "named", archive } });

  test("is the newest by name", async () => {
    pve.backups = [archiveAt(3), archiveAt(5), archiveAt(4), { ...archiveAt(9), volid: "nas:backup/x.vma.dat" }];
    expect(await lookup()).toMatchObject({ archiveTime: Date.UTC(2026, 10, 20, 5) / 1000, notes: "" });
  });

  test("must have a name and a time that agree", async () => {
    pve.backups = [archiveAt(3, { ctime: Date.UTC(2026, 10, 25, 3) / 1000 })];
    await expect(lookup()).rejects.toThrow("which its name contradicts");
  });

  test("can be named, if it exists and is of the VM", async () => {
    pve.backups = [archiveAt(3), archiveAt(5)];
    expect(await lookup(named(archiveAt(3)["volid"]))).toMatchObject({ archive: archiveAt(3)["volid"] });
    await expect(lookup(named(archiveAt(7)["volid"]))).rejects.toThrow("is not on the storage (there are: nas:backup/");
    await expect(lookup(named(String(archiveAt(3)["volid"]).replace("200", "201")))).rejects.toThrow(
      "is an archive of VM 201",
    );
  });

  test("an empty list means no backup only for a token that could see one", async () => {
    pve.backups = [];
    await expect(lookup()).rejects.toThrow("has no finished backup of VM 200, and the token could see one");
    pve.privileges = {};
    await expect(lookup()).rejects.toThrow("so that proves nothing. Grant it VM.Backup on /vms/200");
  });

  test("a storage that is offline is said to be", async () => {
    pve.storage = { ...pve.storage, active: 0 };
    await expect(lookup()).rejects.toThrow("the storage nas is offline on pve");
  });

  test("can be the newest that is not later than a time, whatever its zone", async () => {
    pve.backups = [archiveAt(3), archiveAt(5), archiveAt(4)];
    const before = (time: string): Bag => ({ choice: { choose: "before", time } });
    expect(await lookup(before("2026-11-20T05:30:00+01:00"))).toMatchObject({ archive: archiveAt(4)["volid"] });
    expect(await lookup(before("2026-11-20T03:00:00Z"))).toMatchObject({ archive: archiveAt(3)["volid"] });
    await expect(lookup(before("2026-11-20T02:59:59Z"))).rejects.toThrow(
      "Unable to find a restore point of VM 200 on storage nas: no archive is from 2026-11-20T02:59:59Z or before " +
        "(there are: nas:backup/vzdump-qemu-200-2026_11_20-05_00_00.vma.zst, " +
        "nas:backup/vzdump-qemu-200-2026_11_20-04_00_00.vma.zst, " +
        "nas:backup/vzdump-qemu-200-2026_11_20-03_00_00.vma.zst). Choose a later time.",
    );
  });

  test("that can't be found is evidence of an update, and none of a preview", async () => {
    pve.backups = [];
    const evidenceDir = await mkdtemp(join(tmpdir(), "homelab-refused-"));
    try {
      const plannedRun = {
        ...{ kind: "drill", stack: "drill", node: NODE, vmId: 9200, vmName: "d", sourceVmId: 200, evidenceDir },
        ...{ rtoTargetSeconds: 60, rpoTargetSeconds: 60, environmentNotes: [] },
      };
      await expect(lookup()).rejects.toThrow("has no finished backup");
      expect(await readdir(evidenceDir)).toEqual([]);
      await expect(lookup({ plannedRun })).rejects.toThrow(/storage and VMID\. The report is \S+\/report\.md\.$/);
      const [runId = ""] = await readdir(evidenceDir);
      expect(JSON.parse(await readFile(join(evidenceDir, runId, "drill.json"), "utf8"))).toMatchObject({
        ...{ verdict: "failed", source: { vmId: 200, archive: null } },
        reasons: [
          "the run was refused before it began: Unable to find a restore point of VM 200 on storage nas: the storage nas has " +
            "no finished backup of VM 200, and the token could see one. Make one with the backup job, or correct storage and VMID.",
        ],
      });
    } finally {
      await rm(evidenceDir, { recursive: true });
    }
  });
});

describe("a random restore point", () => {
  const DAY = 86_400;
  const now = new Date("2026-11-20T15:00:00Z");
  const nightly = (days: number): Candidate[] =>
    Array.from({ length: days }, (_, back) => {
      const time = new Date(Date.UTC(2026, 10, 20, 2) - back * DAY * 1000);
      const volid = `nas:backup/vzdump-qemu-200-${time.toISOString().slice(0, 10).replaceAll("-", "_")}-02_00_00.vma.zst`;
      const ctime = time.getTime() / 1000;
      return {
        item: { volid, ctime, size: 5, format: "vma.zst", protected: false },
        wallClockSeconds: ctime,
        agrees: true,
      };
    });
  const pick = (candidates: Candidate[], at = now, vmId = 200, withinDays = 30): string =>
    chooseCandidate(candidates, { choose: "random", withinDays }, { vmId, now: at }).item.volid;

  test("is the same all day, in whatever order the storage lists, and not the same every day", () => {
    const archives = nightly(60);
    expect(pick([...archives].reverse(), new Date("2026-11-20T00:00:00Z"))).toBe(pick(archives));
    const days = Array.from({ length: 14 }, (_, ahead) => pick(archives, new Date(now.getTime() + ahead * DAY * 1000)));
    expect(new Set(days).size).toBeGreaterThan(5);
  });

  test("comes from the days that were asked for", () => {
    const archives = nightly(60);
    for (let ahead = 0; ahead < 50; ahead++) {
      const at = new Date(Date.UTC(2026, 9, 1 + ahead, 12));
      const from = Date.UTC(2026, 9, 1 + ahead - 3) / 1000;
      if (!archives.some(({ item }) => item.ctime >= from)) continue;
      const volid = pick(archives, at, 200, 3);
      expect(archives.find(({ item }) => item.volid === volid)?.item.ctime).toBeGreaterThanOrEqual(from);
    }
  });

  test("that is not there names what is", () => {
    expect(() => pick(nightly(40).slice(20), now, 200, 5)).toThrow(
      /^no archive is from 2026-11-15T00:00:00\.000Z or later \(there are: (\S+, ){9}\S+ and 10 older\)$/,
    );
  });
});
