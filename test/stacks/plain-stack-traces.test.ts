import { plainStackTraces } from "../../stacks/plain-stack-traces";

const outer = Object.getOwnPropertyDescriptor(Error, "prepareStackTrace");
const listeners = (): number =>
  process.listenerCount("uncaughtException") + process.listenerCount("unhandledRejection");
let before: number;

beforeEach(() => {
  before = listeners();
  Error.prepareStackTrace = (error, frames) => `mapped ${String(error)} ${frames.length > 0}`;
});
afterEach(() => {
  if (outer !== undefined) Object.defineProperty(Error, "prepareStackTrace", outer);
});

test("traces are not mapped until the mapping is left to Node, which also serves errors made before", () => {
  const restore = plainStackTraces();
  expect(new Error("quick").stack).toMatch(/^Error: quick\n {4}at .*plain-stack-traces\.test\.ts:\d+:\d+/);
  const error = new Error("for people");
  restore();
  expect("prepareStackTrace" in Error).toBe(false); // Node maps by itself then
  expect(error.stack).toContain("Error: for people");
  expect(listeners()).toBe(before);
});

test("an error that nobody caught is left to Node before Pulumi's listeners read it", () => {
  const restore = plainStackTraces();
  const added = process.listeners("unhandledRejection")[0];
  const error = new Error("nobody caught it");
  added?.(error, Promise.resolve());
  expect("prepareStackTrace" in Error).toBe(false);
  expect(error.stack).toContain("Error: nobody caught it");
  restore();
  expect(listeners()).toBe(before);
});

test("what another has set since is left alone", () => {
  const restore = plainStackTraces();
  Error.prepareStackTrace = () => "another's";
  restore();
  expect(new Error().stack).toBe("another's");
});
