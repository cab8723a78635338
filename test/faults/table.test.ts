/** docs/faults.md names every fault of the lab, docs/hazards.md every hazard of a copy, and both only tests that there are. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FAULTS } from "../../lab/faults/catalogue";

const REPO_DIR = join(__dirname, "../..");

/** Cells of the rows of all tables in a document, without their heads. */
function tableRows(file: string, head: string): string[][] {
  return readFileSync(join(REPO_DIR, file), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .filter(([first = ""]) => first !== head && !first.startsWith("---"));
}

const rows = tableRows("docs/faults.md", "fault").map(([fault = "", test = "", outcome = ""]) => ({
  fault,
  test,
  outcome,
}));
const hazards = tableRows("docs/hazards.md", "#").map(([number = "", hazard = "", guard = "", test = ""]) => ({
  ...{ number, hazard, guard, test },
}));

test("every fault of the lab stands in the table", () => {
  const named = rows.flatMap(({ fault }) => [...fault.matchAll(/`([\w-]+)`/g)].map(([, name]) => name ?? ""));
  expect([...new Set(named)].sort()).toEqual(Object.keys(FAULTS).sort());
});

function expectTest(place: string): void {
  const [, file = "", title = ""] = /^`(test\/[\w/.-]+)`: (.+)$/.exec(place) ?? [];
  expect(existsSync(join(REPO_DIR, file))).toBe(true);
  expect(readFileSync(join(REPO_DIR, file), "utf8")).toContain(title);
}

test.each(rows)("$fault: its test exists", ({ test: place, outcome }) => {
  expectTest(place);
  expect(outcome).not.toBe("");
});

test("the hazards are numbered as they are known", () => {
  expect(hazards.map(({ number }) => Number(number))).toEqual(Array.from({ length: 13 }, (_, index) => index + 1));
});

test.each(hazards)("hazard $number, $hazard: its test exists", ({ test: place, guard }) => {
  expectTest(place);
  expect(guard).not.toBe("");
});
