/** An error that people can act on; its message is all they need to see: "Unable to <action>: <cause>. <what to do>." */
export class CliError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CliError";
  }
}

/** Someone pressed Ctrl-C or asked the process to end. */
export class Interrupted extends Error {
  constructor(
    readonly signal: NodeJS.Signals,
    /** What became of the work, in sentences. */
    outcome = "",
  ) {
    super(`Interrupted by ${signal}.${outcome === "" ? "" : ` ${outcome}`}`);
    this.name = "Interrupted";
  }
}

/** Whether an error carries this code of Node's (`ENOENT`, …). By shape: in jest, Node's errors are of another realm. */
export function hasCode(error: unknown, code: string): boolean {
  return typeof error === "object" && error !== null && "code" in error && error.code === code;
}

/** The words of an error and of its causes, each said once, without stacks. */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause === undefined) return error.message;
  const cause = causeOf(error.cause);
  return error.message.includes(cause) ? error.message : `${error.message} (${cause})`;
}
