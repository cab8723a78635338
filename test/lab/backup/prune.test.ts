import fc from "fast-check";
import { keepsAll, markForPrune, printRetention, retentionLimit } from "../../../lab/backup/prune";
import { type PruneCandidate, type Retention } from "../../../lab/backup/types";

/** Local time, as archive names have it. */
const at = (text: string): number => Math.floor(new Date(text).getTime() / 1000);

function candidate(ctime: number, more: Partial<PruneCandidate> = {}): PruneCandidate {
  return { volid: `nas:backup/${ctime}`, ctime, vmid: 200, type: "qemu", protected: false, ...more };
}

const marks = (candidates: PruneCandidate[], retention: Retention): string[] =>
  markForPrune(candidates, retention).map((entry) => entry.mark);

/** Kept times, newest first. */
function kept(times: string[], retention: Retention): string[] {
  const entries = markForPrune(
    times.map((time) => candidate(at(time))),
    retention,
  );
  return times
    .filter((_, index) => entries[index]?.mark === "keep")
    .sort()
    .reverse();
}

describe("retention", () => {
  test.each<[string, Retention, string[], string[]]>([
    [
      "keep-last counts archives",
      { keepLast: 2 },
      ["2025-11-20T01:00", "2025-11-20T02:00", "2025-11-20T03:00"],
      ["2025-11-20T03:00", "2025-11-20T02:00"],
    ],
    [
      "keep-hourly keeps the newest of each hour",
      { keepHourly: 2 },
      ["2025-11-20T01:10", "2025-11-20T01:50", "2025-11-20T02:05", "2025-11-20T02:55", "2025-11-19T02:30"],
      ["2025-11-20T02:55", "2025-11-20T01:50"],
    ],
    [
      "keep-daily goes by local days, not by 24 hours",
      { keepDaily: 2 },
      ["2025-11-18T12:00", "2025-11-19T23:59", "2025-11-20T00:01", "2025-11-20T00:02"],
      ["2025-11-20T00:02", "2025-11-19T23:59"],
    ],
    [
      "keep-weekly takes ISO weeks: 2024-12-30 is in week 1 of 2025",
      { keepWeekly: 2 },
      ["2024-12-29T02:00", "2024-12-30T02:00", "2025-01-05T02:00"],
      ["2025-01-05T02:00", "2024-12-29T02:00"],
    ],
    [
      "2021-01-03 is in week 53 of 2020",
      { keepWeekly: 2 },
      ["2020-12-28T02:00", "2021-01-03T02:00", "2021-01-04T02:00"],
      ["2021-01-04T02:00", "2021-01-03T02:00"],
    ],
    [
      "keep-monthly does not mix years",
      { keepMonthly: 2 },
      ["2024-11-30T02:00", "2025-11-01T02:00", "2025-11-02T02:00"],
      ["2025-11-02T02:00", "2024-11-30T02:00"],
    ],
    ["keep-yearly", { keepYearly: 1 }, ["2024-12-31T23:59", "2025-01-01T00:00"], ["2025-01-01T00:00"]],
    [
      "a period that a shorter option covers does not use up the longer one",
      { keepLast: 1, keepDaily: 2 },
      ["2025-11-17T02:00", "2025-11-18T02:00", "2025-11-19T02:00", "2025-11-19T03:00", "2025-11-20T02:00"],
      ["2025-11-20T02:00", "2025-11-19T03:00", "2025-11-18T02:00"],
    ],
  ])("%s", (_, retention, times, expected) => {
    expect(kept(times, retention)).toEqual(expected);
    expect(kept([...times].reverse(), retention)).toEqual(expected);
  });

  test("the project's own plan: last 3, daily 7, weekly 4, over 60 daily backups", () => {
    const times = Array.from({ length: 60 }, (_, day) => {
      const date = new Date(2025, 8, 22 + day, 2);
      return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}T02:00`;
    }); // Monday 2025-09-22 to Thursday 2025-11-20
    expect(kept(times, { keepLast: 3, keepDaily: 7, keepWeekly: 4 }).map((time) => time.slice(0, 10))).toEqual([
      "2025-11-20",
      "2025-11-19",
      "2025-11-18",
      "2025-11-17",
      "2025-11-16",
      "2025-11-15",
      "2025-11-14",
      "2025-11-13",
      "2025-11-12",
      "2025-11-11",
      "2025-11-09",
      "2025-11-02",
      "2025-10-26",
      "2025-10-19",
    ]);
  });

  test("protected archives stay and do not count, other names are left alone, guests are apart", () => {
    const candidates = [
      candidate(500, { protected: true }),
      candidate(400),
      candidate(300),
      candidate(450, { vmid: 201 }),
      candidate(100, { vmid: undefined }),
      candidate(90, { vmid: undefined, protected: true }),
    ];
    expect(marks(candidates, { keepLast: 1 })).toEqual(["protected", "keep", "remove", "keep", "renamed", "protected"]);
  });

  test.each<[Retention]>([[{}], [{ keepAll: true }], [{ keepLast: 0, keepDaily: 0 }]])(
    "%j keeps everything",
    (retention) => {
      expect(keepsAll(retention)).toBe(true);
      expect(retentionLimit(retention)).toBe(0);
      expect(marks([candidate(1), candidate(2, { protected: true })], retention)).toEqual(["keep", "protected"]);
      expect(printRetention(retention)).toBe("keep-all=1");
    },
  );

  test("is printed as vzdump logs it", () => {
    expect(printRetention({ keepLast: 3, keepDaily: 7, keepWeekly: 4 })).toBe(
      "keep-daily=7, keep-last=3, keep-weekly=4",
    );
    expect(retentionLimit({ keepLast: 3, keepDaily: 7, keepWeekly: 4 })).toBe(14);
  });
});

describe("retention, for any archives", () => {
  const count = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined });
  const retentions: fc.Arbitrary<Retention> = fc.record({
    keepLast: count,
    keepHourly: count,
    keepDaily: count,
    keepWeekly: count,
    keepMonthly: count,
    keepYearly: count,
  });
  const groups = fc
    .uniqueArray(fc.integer({ min: at("2023-01-01T00:00"), max: at("2026-01-01T00:00") }), { maxLength: 60 })
    .map((times) => times.map((time) => candidate(time)));

  test("nothing is kept beyond the limit, nothing is lost without one, and the newest always stays", () => {
    fc.assert(
      fc.property(groups, retentions, (candidates, retention) => {
        const entries = markForPrune(candidates, retention);
        const keptEntries = entries.filter((entry) => entry.mark === "keep");
        const limit = retentionLimit(retention);
        expect(entries.map((entry) => entry.volid)).toEqual(candidates.map((entry) => entry.volid));
        if (limit === 0) expect(keptEntries).toHaveLength(candidates.length);
        else expect(keptEntries.length).toBeLessThanOrEqual(limit);
        const newest = Math.max(...candidates.map((entry) => entry.ctime));
        if (candidates.length > 0) expect(keptEntries.map((entry) => entry.ctime)).toContain(newest);
      }),
    );
  });

  test("pruning again removes nothing more", () => {
    fc.assert(
      fc.property(groups, retentions, (candidates, retention) => {
        const left = markForPrune(candidates, retention).filter((entry) => entry.mark !== "remove");
        const again = markForPrune(
          left.map((entry) => candidate(entry.ctime)),
          retention,
        );
        expect(again.filter((entry) => entry.mark === "remove")).toEqual([]);
      }),
    );
  });

  test("the order of the list does not matter", () => {
    fc.assert(
      fc.property(groups, retentions, (candidates, retention) => {
        const byId = (entries: PruneCandidate[]): string[] =>
          markForPrune(entries, retention)
            .map((entry) => `${entry.volid} ${entry.mark}`)
            .sort();
        expect(byId([...candidates].reverse())).toEqual(byId(candidates));
      }),
    );
  });
});
