import { joinWindow } from "../../provider/checks/run-window";

test("the window of a run ends with the last check of any of its services, also one that joined later", async () => {
  let endSlow: () => void = () => undefined;
  let endLate: () => void = () => undefined;
  const first = joinWindow("run", []);
  joinWindow("run", [new Promise<void>((resolve) => (endSlow = resolve))]);
  let done = false;
  const waiting = first().then(() => (done = true));
  joinWindow("run", [new Promise<void>((resolve) => (endLate = resolve))]);
  endSlow();
  await new Promise((resolve) => setImmediate(resolve));
  expect(done).toBe(false);
  endLate();
  await waiting;
  expect(done).toBe(true);
});

test("a failed check ends the window too, and another run has a window of its own", async () => {
  joinWindow("other", [new Promise(() => undefined)]);
  await joinWindow("run", [Promise.reject(new Error("no answer"))])();
});
