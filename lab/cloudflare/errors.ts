/** One entry of `errors` in a Cloudflare answer. */
export interface CloudflareErrorDetail {
  readonly code: number;
  readonly message: string;
  readonly error_chain?: readonly { code: number; message: string }[];
}

/** A refusal in Cloudflare's form; the server prints it as `{success: false, errors: [...]}`. */
export class CloudflareError extends Error {
  constructor(
    readonly status: number,
    readonly details: readonly CloudflareErrorDetail[],
  ) {
    super(details.map((detail) => `${detail.message} (${detail.code})`).join("; "));
    this.name = "CloudflareError";
  }
}

/** Shorthand for the usual case: one error, one status. */
export function refusal(status: number, code: number, message: string): CloudflareError {
  return new CloudflareError(status, [{ code, message }]);
}

/** What the lab does not emulate. Cloudflare itself has no such answer; 501 keeps it from looking like one. */
export function notEmulated(what: string): CloudflareError {
  return refusal(501, 1, `The lab does not emulate ${what}.`);
}
