/** Whether Cloudflare's API lets the token of the environment at the records of a zone. */
import { z } from "zod";

/** `refused`: another try gives the same answer. `unanswered`: nobody said yes or no. */
export type CloudflareAnswer =
  | { readonly kind: "granted" }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unanswered"; readonly reason: string };

const TIMEOUT_MS = 10_000;

const errorsSchema = z.object({ errors: z.array(z.object({ code: z.number(), message: z.string() })) });

/**
 * Lists a few records of the zone, which needs the right that the stack needs.
 * Source: https://developers.cloudflare.com/api/resources/dns/subresources/records/methods/list/ ; variables as
 * Cloudflare's own SDKs name them.
 */
export async function askCloudflare(
  zoneId: string,
  signal: AbortSignal,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<CloudflareAnswer> {
  const base = (environment["CLOUDFLARE_BASE_URL"] ?? "https://api.cloudflare.com/client/v4").replace(/\/+$/, "");
  const token = environment["CLOUDFLARE_API_TOKEN"]?.trim() ?? "";
  let response: Response;
  try {
    response = await fetch(`${base}/zones/${encodeURIComponent(zoneId)}/dns_records?per_page=5`, {
      headers: { Authorization: `Bearer ${token}`, Accept: "application/json" },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "unanswered", reason: causeOf(error) };
  }
  if (response.ok) return { kind: "granted" };
  const text = await response.text();
  const isRefusal = [400, 401, 403, 404].includes(response.status);
  return { kind: isRefusal ? "refused" : "unanswered", reason: reasonOf(text, response.status) };
}

/** Cloudflare's words with their codes, by which its documentation is searched. */
function reasonOf(body: string, status: number): string {
  const parsed = errorsSchema.safeParse(jsonOf(body));
  const said = parsed.success ? parsed.data.errors.map(({ code, message }) => `${message} (${code})`) : [];
  return said.length === 0 ? `status ${status}` : said.join("; ");
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a proxy's page: the status is said instead
  }
}

/** `fetch failed` says nothing; what lies under it does. Errors of other realms are known by their shape. */
function causeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "no answer";
  if ("cause" in error && typeof error.cause === "object" && error.cause !== null) return causeOf(error.cause);
  const message = "message" in error && typeof error.message === "string" ? error.message : "no answer";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return code === "" || message.includes(code) ? message : `${message} (${code})`;
}
