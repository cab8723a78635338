/** Who calls: one of the API tokens of the lab's specification. */
import { createHash, timingSafeEqual } from "node:crypto";
import { ApiError } from "./errors";
import { type Caller } from "./router";

/** PVE answers failed authentication late, to slow guessing down (PVE::APIServer::AnyEvent: 3 s). */
export const AUTHENTICATION_DELAY_MS = 3000;

/**
 * Checks the `Authorization` header: `PVEAPIToken=user@realm!name=uuid`.
 * @throws ApiError 401 `No ticket` without a credential, `Authentication failed!` with a wrong one.
 */
export function authenticate(header: string | undefined, apiTokens: readonly string[]): Caller {
  // PVE accepts a blank in place of the first `=` too.
  const token = /^PVEAPIToken[= ](.+)$/.exec(header ?? "")?.[1];
  if (token === undefined) throw new ApiError(401, "No ticket");
  const known = apiTokens.find((candidate) => equal(candidate, token));
  const name = /^(.+)=[^=]+$/.exec(known ?? "")?.[1];
  if (name === undefined) throw new ApiError(401, "Authentication failed!");
  return { name };
}

function equal(left: string, right: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}
