import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duration, Progress } from "../../cli/progress";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "progress-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

function record(isTerminal: boolean): { progress: Progress; text: () => string } {
  let text = "";
  const output = { write: (part: string) => void (text += part), isTerminal, columns: () => 80 };
  return { progress: new Progress(join(dir, "logs", "run.log"), output), text: () => text };
}

test("plain output says what starts, what ends and what fails; the log has the details", async () => {
  const { progress, text } = record(false);
  await progress.step("first", async ({ detail, line }) => {
    detail("half way");
    line("something stays");
  });
  await expect(progress.step("second", async () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(text()).toMatch(/first …\n {2}something stays\n.*first.*\(0 s\)/s);
  expect(text()).toMatch(/second: failed after 0 s/);
  expect(text()).not.toContain("half way");
  progress[Symbol.dispose]();
  expect(readFileSync(progress.logFile, "utf8")).toContain("half way");
});

test("a terminal gets the running step on its last line, rewritten", async () => {
  jest.useFakeTimers();
  try {
    const { progress, text } = record(true);
    const step = progress.step("building", async ({ detail }) => {
      detail("layer 2");
      await new Promise((resolve) => setTimeout(resolve, 3500));
    });
    await jest.advanceTimersByTimeAsync(3500);
    await step;
    expect(text()).toContain("building … 3 s · layer 2");
    expect(text()).toContain("\r\u001b[2K");
    progress[Symbol.dispose]();
    expect(text().endsWith("\n")).toBe(true);
  } finally {
    jest.useRealTimers();
  }
});

test("durations read as people say them", () => {
  expect([8_400, 60_000, 125_000, 3_720_000].map(duration)).toEqual(["8 s", "1 min 00 s", "2 min 05 s", "1 h 02 min"]);
});
