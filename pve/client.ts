/** HTTP client of the Proxmox VE API: one call in, one typed answer or one classified error out. */
import { setTimeout as delay } from "node:timers/promises";
import type { z } from "zod";
import { classifyAnswer, classifyConnection, type PveCall, PveConnectionError, PveCredentialsError } from "./errors";

/** Where the API is and who asks. Read at each call, so that a rotated token counts at once. */
export interface PveCredentials {
  /** `https://host:8006`, without a path. */
  readonly endpoint: string;
  /** `user@realm!name=uuid`. Secret. */
  readonly token: string;
}

export type CredentialSource = () => PveCredentials;

/** What PVE takes as parameter values; undefined is not sent, booleans become 0 and 1, lists repeat the key. */
export type PveParameters = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface CallOptions {
  /** Ends the call, e.g. when the engine cancels. */
  readonly signal?: AbortSignal;
  /** Limit for the whole answer, repeated tries included; default 60 s. */
  readonly timeoutMs?: number;
  /** Gets the whole answer, for what PVE says beside its `data`, such as `changes`. */
  readonly onBody?: (body: Readonly<Record<string, unknown>>) => void;
}

const TOKEN = /^\S+@\S+!\S+=[a-zA-Z0-9-]+$/;
const DEFAULT_TIMEOUT_MS = 60_000;
const RETRY_DELAYS_MS = [200, 1000] as const;

/**
 * Endpoint and token under the names that the public Proxmox provider uses, so that both speak to the same cluster.
 *
 * @throws PveCredentialsError with every problem, never with the token.
 */
export function credentialsFromEnvironment(environment: NodeJS.ProcessEnv = process.env): PveCredentials {
  const problems: string[] = [];
  const endpoint = environment["PROXMOX_VE_ENDPOINT"]?.trim() ?? "";
  const token = environment["PROXMOX_VE_API_TOKEN"]?.trim() ?? "";
  if (endpoint === "") problems.push("PROXMOX_VE_ENDPOINT is not set");
  else if (!URL.canParse(endpoint)) problems.push(`PROXMOX_VE_ENDPOINT "${endpoint}" is no URL`);
  else if (new URL(endpoint).protocol !== "https:") problems.push(`PROXMOX_VE_ENDPOINT "${endpoint}" is not https`);
  if (token === "") problems.push("PROXMOX_VE_API_TOKEN is not set");
  else if (!TOKEN.test(token)) problems.push("PROXMOX_VE_API_TOKEN is not of the form user@realm!name=uuid");
  if (problems.length > 0) throw new PveCredentialsError(problems);
  return { endpoint, token };
}

/** A path with its values percent-coded: pvePath`/nodes/${node}/qemu/${vmId}`. */
export function pvePath(parts: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return String.raw({ raw: parts }, ...values.map((value) => encodeURIComponent(value)));
}

/** Makes the calls. Only GETs are tried again, because a repeated write might act twice. */
export class PveClient {
  /** `send` is only replaced in tests, which trust a certificate authority of their own. */
  constructor(
    private readonly credentials: CredentialSource = credentialsFromEnvironment,
    private readonly send: typeof fetch = fetch,
  ) {}

  /** Who asks, `user@realm!name`, as it stands in the UPID of each task that a call starts. Not secret. */
  get tokenId(): string {
    return this.credentials().token.replace(/=[^=]*$/, "");
  }

  /** Where the API is: host and port. */
  get host(): string {
    return new URL(this.credentials().endpoint).host;
  }

  /** Reads; transient connection errors are tried again twice. */
  async get<T>(path: string, schema: z.ZodType<T>, query: PveParameters = {}, options: CallOptions = {}): Promise<T> {
    const deadline = performance.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const leftMs = (): number => deadline - performance.now();
    for (const wait of RETRY_DELAYS_MS) {
      try {
        return await this.call("GET", path, schema, query, { ...options, timeoutMs: Math.max(1, leftMs()) });
      } catch (error) {
        if (!(error instanceof PveConnectionError) || !error.isTransient || options.signal?.aborted === true)
          throw error;
        if (leftMs() <= wait) throw error;
        await delay(wait, undefined, { signal: options.signal });
      }
    }
    return this.call("GET", path, schema, query, { ...options, timeoutMs: Math.max(1, leftMs()) });
  }

  async post<T>(path: string, schema: z.ZodType<T>, body: PveParameters = {}, options: CallOptions = {}): Promise<T> {
    return this.call("POST", path, schema, body, options);
  }

  async put<T>(path: string, schema: z.ZodType<T>, body: PveParameters = {}, options: CallOptions = {}): Promise<T> {
    return this.call("PUT", path, schema, body, options);
  }

  /** PVE refuses a body with DELETE: parameters stand in the query. */
  async delete<T>(
    path: string,
    schema: z.ZodType<T>,
    query: PveParameters = {},
    options: CallOptions = {},
  ): Promise<T> {
    return this.call("DELETE", path, schema, query, options);
  }

  private async call<T>(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    schema: z.ZodType<T>,
    parameters: PveParameters,
    { signal, timeoutMs = DEFAULT_TIMEOUT_MS, onBody }: CallOptions,
  ): Promise<T> {
    const { endpoint, token } = this.credentials();
    const call: PveCall = { method, path: decodeURIComponent(path) };
    const base = endpoint.replace(/\/+$/, "").replace(/\/api2(?:\/json)?$/, "");
    const encoded = encodeParameters(parameters);
    const hasBody = method === "POST" || method === "PUT";
    const url = `${base}/api2/json${path}${!hasBody && encoded !== "" ? `?${encoded}` : ""}`;
    const timeout = AbortSignal.timeout(Math.ceil(timeoutMs));
    let answer: { status: number; reason: string; body: string };
    try {
      const response = await this.send(url, {
        method,
        redirect: "manual",
        headers: {
          Authorization: `PVEAPIToken=${token}`,
          Accept: "application/json",
          ...(hasBody ? { "Content-Type": "application/x-www-form-urlencoded" } : {}),
        },
        ...(hasBody ? { body: encoded } : {}),
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      });
      answer = { status: response.status, reason: response.statusText, body: await response.text() };
    } catch (error) {
      signal?.throwIfAborted();
      throw classifyConnection(call, new URL(base).host, error);
    }
    if (answer.status >= 400) throw classifyAnswer(call, answer);
    return readData(call, new URL(base).host, answer, schema, onBody);
  }
}

function encodeParameters(parameters: PveParameters): string {
  const pairs = Object.entries(parameters).flatMap(([key, value]) => {
    if (value === undefined) return [];
    const values: readonly (string | number | boolean)[] = typeof value === "object" ? value : [value];
    return values.map((item) => {
      const text = typeof item === "boolean" ? (item ? "1" : "0") : String(item);
      return `${encodeURIComponent(key)}=${encodeURIComponent(text)}`;
    });
  });
  return pairs.join("&");
}

function readData<T>(
  call: PveCall,
  host: string,
  answer: { status: number; body: string },
  schema: z.ZodType<T>,
  onBody: CallOptions["onBody"],
): T {
  let body: unknown;
  try {
    body = JSON.parse(answer.body);
  } catch (error) {
    throw foreignAnswer(call, host, `${host} answered ${answer.status} with something that is not JSON`, error);
  }
  if (typeof body !== "object" || body === null || !("data" in body)) {
    throw foreignAnswer(call, host, `${host} answered ${answer.status} with JSON that has no data`);
  }
  onBody?.({ ...body });
  const parsed = schema.safeParse(body.data);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "data"}: ${issue.message}`);
  throw foreignAnswer(call, host, `the answer has another form than expected (${problems.join("; ")})`, parsed.error);
}

function foreignAnswer(call: PveCall, host: string, text: string, cause?: unknown): PveConnectionError {
  const advice = `Check that PROXMOX_VE_ENDPOINT names a Proxmox VE API and not something else at ${host}.`;
  return new PveConnectionError(call, text, advice, false, { cause });
}
