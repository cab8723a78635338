import { pollUntil } from "../../pve/wait";

test("gives what an attempt gives, after as many as it takes", async () => {
  let attempts = 0;
  const result = await pollUntil({ timeoutMs: 5000, firstPauseMs: 1 }, async () => {
    attempts += 1;
    return attempts === 3 ? "done" : undefined;
  });
  expect([result, attempts]).toEqual(["done", 3]);
});

test("gives nothing when the time is over, after at least one attempt", async () => {
  let attempts = 0;
  const result = await pollUntil<string>({ timeoutMs: 0 }, async () => {
    attempts += 1;
    return undefined;
  });
  expect([result, attempts]).toEqual([undefined, 1]);
});

test("ends in the middle of a pause with the signal's own reason", async () => {
  const controller = new AbortController();
  const reason = new Error("Ctrl-C");
  const waiting = pollUntil({ timeoutMs: 60_000, firstPauseMs: 60_000, signal: controller.signal }, async () => {
    setImmediate(() => {
      controller.abort(reason);
    });
    return undefined;
  });
  await expect(waiting).rejects.toBe(reason);
});
