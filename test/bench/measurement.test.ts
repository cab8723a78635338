import { missesTarget, printTable, type Line } from "../../bench/measurement";
import { growth } from "../../bench/preview-speed";

const lines: Line[] = [
  { what: "preview", value: 2.504, unit: "s", detail: "best of 3", target: { atMost: 2.5 } },
  { what: "backup", value: 0.6, unit: "x", detail: "768 MiB", target: { atLeast: 0.6 } },
  { what: "floor", value: 1, unit: "ms", detail: "nothing" },
  { what: "plan", reason: "no terraform here" },
];

test("a table says figure, target and verdict, and why a line has none", () => {
  expect(printTable(lines)).toBe(
    [
      "| what    | figure       | target          |        | made from         |",
      "| ------- | ------------ | --------------- | ------ | ----------------- |",
      "| preview | 2.50 s       | at most 2.50 s  | missed | best of 3         |",
      "| backup  | 0.60 x       | at least 0.60 x | met    | 768 MiB           |",
      "| floor   | 1 ms         |                 |        | nothing           |",
      "| plan    | not measured |                 |        | no terraform here |",
    ].join("\n"),
  );
});

test("a target is missed beyond its bound, and by a figure that is none", () => {
  expect(lines.map(missesTarget)).toEqual([true, false, false, false]);
  expect(missesTarget({ what: "x", value: Number.NaN, unit: "x", detail: "", target: { atMost: 1 } })).toBe(true);
  expect(missesTarget({ what: "x", value: 0.59, unit: "x", detail: "", target: { atLeast: 0.6 } })).toBe(true);
});

test("growth is 1 when each service costs the same, and more when late ones cost more", () => {
  const even = growth(2.03, 2.3, 5);
  expect("value" in even && even.value).toBeCloseTo(1, 5);
  const worse = growth(2, 2.27, 10.37);
  expect("value" in worse && worse.value).toBeCloseTo(3, 5);
  expect(worse).toMatchObject({ detail: "10.0 ms for each up to 30 services, 30.0 ms for each up to 300" });
  expect(missesTarget(worse)).toBe(true);
});
