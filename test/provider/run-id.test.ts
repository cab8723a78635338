import { newRunId } from "../../provider/refusal";

test("ids of runs that begin within one second sort by time, so that the newest run is found", () => {
  const times = [0, 1, 9, 10, 99, 100, 255, 256, 999, 1000].map((ms) => new Date(Date.UTC(2026, 10, 21, 3, 0, 0, ms)));
  const ids = times.map((at) => newRunId("emergency", at));
  expect([...ids].sort()).toEqual(ids);
  for (const id of ids) expect(id).toMatch(/^20261121T03000[01]Z-emergency-[0-9a-f]{6}$/);
});
