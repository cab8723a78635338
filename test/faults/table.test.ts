/** docs/faults.md names every fault of the lab, and only tests that there are. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FAULTS } from "../../lab/faults/catalogue";

const REPO_DIR = join(__dirname, "../..");

const rows = readFileSync(join(REPO_DIR, "docs/faults.md"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("|"))
  .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
  .filter(([, fault = ""]) => fault !== "fault" && !fault.startsWith("---"))
  .map(([, fault = "", test = "", outcome = ""]) => ({ fault, test, outcome }));

test("every fault of the lab stands in the table", () => {
  const named = rows.flatMap(({ fault }) => [...fault.matchAll(/`([\w-]+)`/g)].map(([, name]) => name ?? ""));
  expect([...new Set(named)].sort()).toEqual(Object.keys(FAULTS).sort());
});

test.each(rows)("$fault: its test exists", ({ test: place, outcome }) => {
  const [, file = "", title = ""] = /^`(test\/[\w/.-]+)`: (.+)$/.exec(place) ?? [];
  expect(existsSync(join(REPO_DIR, file))).toBe(true);
  expect(readFileSync(join(REPO_DIR, file), "utf8")).toContain(title);
  expect(outcome).not.toBe("");
});
