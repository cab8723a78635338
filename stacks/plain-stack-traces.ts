/** Makes the stack traces that Pulumi takes of every resource cheap. */

/** Prints a stack trace. Node's own is absent; libraries set theirs. */
type TraceFormat = (error: Error, frames: readonly { toString(): string }[]) => unknown;
const traces: { prepareStackTrace?: TraceFormat } = Error as unknown as { prepareStackTrace?: TraceFormat };

/**
 * Pulumi reads a stack trace for each resource and each promise, and its own program maps every line of it back through
 * the source maps of the SDKs: a sixth of the processor time of a preview. From here on traces are not mapped. The returned
 * function leaves the mapping to Node, which unlike Pulumi's program knows the lines of what tsx compiled; as V8 formats a
 * trace when it is first read, it also serves errors made before.
 */
export function plainStackTraces(): () => void {
  const plain: TraceFormat = (error, frames) =>
    [String(error), ...frames.map((frame) => `    at ${frame.toString()}`)].join("\n");
  const restore = (): void => {
    process.off("uncaughtException", restore).off("unhandledRejection", restore);
    if (traces.prepareStackTrace === plain) delete traces.prepareStackTrace;
  };
  traces.prepareStackTrace = plain;
  // Before Pulumi's own listeners, which print the trace.
  process.prependOnceListener("uncaughtException", restore);
  process.prependOnceListener("unhandledRejection", restore);
  return restore;
}
