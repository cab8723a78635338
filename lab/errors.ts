/**
 * Errors of the emulated API, in PVE's shapes. A plain `Error` thrown by a handler is PVE's `die "text\n"`: status 500 with
 * the text as reason (PVE::HTTPServer `rest_handler`).
 */

import { isNativeError } from "node:util/types";

/** An answer that is no success. `message` is the whole text; its first line becomes the reason phrase. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** Problems by parameter name. */
    readonly errors?: Readonly<Record<string, string>>,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** PVE's `raise_param_exc`: 400 with one text per parameter. */
export function parameterError(errors: Readonly<Record<string, string>>): ApiError {
  return new ApiError(400, "Parameter verification failed.", errors);
}

/** Something that PVE can do and the lab cannot. Never answered by a made-up success. */
export function notEmulated(what: string): ApiError {
  return new ApiError(501, `The lab does not emulate ${what}.`);
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return isNativeError(error) ? error.message : String(error);
}

/** Whether a file system call failed because the file is not there. */
export function isMissing(error: unknown): boolean {
  return hasCode(error, "ENOENT");
}

/** Whether an error is the operating system's with this code. */
export function hasCode(error: unknown, code: string): boolean {
  return isNativeError(error) && "code" in error && error.code === code;
}
