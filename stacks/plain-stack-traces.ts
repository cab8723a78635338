/** Makes the stack traces that Pulumi takes of every resource cheap. */

/** One call on the way to where an error was made. */
interface Frame {
  getFunctionName(): string | null;
  toString(): string;
}

/** Prints a stack trace. Node's own is absent; libraries set theirs. */
type TraceFormat = (error: Error, frames: readonly Frame[]) => unknown;
const traces: { prepareStackTrace?: TraceFormat } = Error as unknown as { prepareStackTrace?: TraceFormat };

/** Pulumi's function that takes a trace of each promise, a dozen for a resource, and prints it only if this is set. */
const PROMISE_TRACER = "debuggablePromise";
const PROMISE_TRACES = "PULUMI_DEBUG_PROMISE_LEAKS";

/**
 * Pulumi reads a stack trace for each resource and each promise, and its own program maps every line of it back through
 * the source maps of the SDKs: a fifth of the processor time of a preview. From here on traces are not mapped, and those of
 * promises, which nobody sees, are not printed at all. The returned function gives the mapping back; as V8 formats a trace
 * when it is first read, that also serves errors made before.
 */
export function plainStackTraces(): () => void {
  const before = traces.prepareStackTrace;
  const tracesPromises = process.env[PROMISE_TRACES] !== undefined;
  const plain: TraceFormat = (error, frames) => {
    if (!tracesPromises && frames[0]?.getFunctionName() === PROMISE_TRACER) return String(error);
    return [String(error), ...frames.map((frame) => `    at ${frame.toString()}`)].join("\n");
  };
  const restore = (): void => {
    process.off("uncaughtException", restore).off("unhandledRejection", restore);
    if (traces.prepareStackTrace !== plain) return;
    if (before === undefined) delete traces.prepareStackTrace;
    else traces.prepareStackTrace = before;
  };
  traces.prepareStackTrace = plain;
  // Before Pulumi's own listeners, which print the trace.
  process.prependOnceListener("uncaughtException", restore);
  process.prependOnceListener("unhandledRejection", restore);
  return restore;
}
