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

test("traces are not mapped until the mapping is given back, which also serves errors made before", () => {
  const restore = plainStackTraces();
  expect(new Error("quick").stack).toMatch(/^Error: quick\n {4}at .*plain-stack-traces\.test\.ts:\d+:\d+/);
  const error = new Error("for people");
  restore();
  expect(error.stack).toBe("mapped Error: for people true");
  expect(listeners()).toBe(before);
});

test("an error that nobody caught is mapped again before Pulumi's listeners read it", () => {
  const restore = plainStackTraces();
  const added = process.listeners("unhandledRejection")[0];
  const error = new Error("nobody caught it");
  added?.(error, Promise.resolve());
  expect(error.stack).toBe("mapped Error: nobody caught it true");
  restore();
  expect(listeners()).toBe(before);
});

test("what another has set since is left alone", () => {
  const restore = plainStackTraces();
  Error.prepareStackTrace = () => "another's";
  restore();
  expect(new Error().stack).toBe("another's");
});

test("where nothing was mapped before, Node's own traces come back", () => {
  Reflect.deleteProperty(Error, "prepareStackTrace");
  plainStackTraces()();
  expect("prepareStackTrace" in Error).toBe(false);
});

describe("traces of promises", () => {
  function debuggablePromise(): string | undefined {
    return new Error().stack;
  }
  const name = "PULUMI_DEBUG_PROMISE_LEAKS";
  afterEach(() => Reflect.deleteProperty(process.env, name));

  test("are not printed, but those below a promise are", () => {
    const restore = plainStackTraces();
    expect(debuggablePromise()).toBe("Error");
    expect((() => new Error().stack)()).toMatch(/^Error\n {4}at .*plain-stack-traces\.test\.ts/);
    restore();
  });

  test("are printed where Pulumi is told to look for leaks", () => {
    process.env[name] = "true";
    const restore = plainStackTraces();
    expect(debuggablePromise()).toMatch(/^Error\n {4}at debuggablePromise /);
    restore();
  });

  test("are taken by the function that has this name in Pulumi's SDK", () => {
    const runtime = jest.requireActual<Record<string, unknown>>("@pulumi/pulumi/runtime/debuggable");
    expect(String(runtime["debuggablePromise"])).toMatch(/^function debuggablePromise\b[^]*new Error\(\)\.stack/);
  });
});
