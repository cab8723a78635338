/**
 * Asks registries which digest a tag stands for, by the OCI Distribution Specification 1.1 and the token flow of
 * https://distribution.github.io/distribution/spec/auth/token/. Public images only: no credentials are sent.
 */
import { request } from "undici";
import { z } from "zod";
import { causeOf } from "../errors";

/** Where an image lies. */
export interface ImageLocation {
  /** Base address of the registry's API, without a last slash. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

const DOCKER_HUB = "https://registry-1.docker.io";
const TIMEOUT_MS = 30_000;
/** What engines accept; an index counts as the image, because its digest is what `docker pull` records. */
const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/**
 * Reads a reference as Docker does: Docker Hub where no host is named, `library/` for its official images, plain HTTP only
 * for this computer. Throws for a reference without a tag.
 */
export function locationOf(reference: string): ImageLocation {
  const [, name = "", tag] = /^(.+?):([\w][\w.-]{0,127})$/.exec(reference) ?? [];
  if (tag === undefined) throw new Error(`"${reference}" has no tag`);
  const [first = "", ...rest] = name.split("/");
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  if (!isHost || first === "docker.io" || first === "index.docker.io") {
    const path = isHost ? rest.join("/") : name;
    return { registry: DOCKER_HUB, repository: path.includes("/") ? path : `library/${path}`, tag };
  }
  const isLocal = /^(localhost|127\.\d+\.\d+\.\d+)(:\d+)?$/.test(first);
  return { registry: `${isLocal ? "http" : "https"}://${first}`, repository: rest.join("/"), tag };
}

/** The digest `sha256:<hex>` that a registry gives for a tag now. Throws with what the registry answered. */
export async function resolveDigest(reference: string, signal?: AbortSignal): Promise<string> {
  const { registry, repository, tag } = locationOf(reference);
  const url = `${registry}/v2/${repository}/manifests/${tag}`;
  try {
    let answer = await ask(url, undefined, signal);
    if (answer.statusCode === 401) {
      const token = await anonymousToken(header(answer.headers["www-authenticate"]), signal);
      answer = await ask(answer.url, token, signal);
    }
    if (answer.statusCode !== 200)
      throw new Error(`the registry answered ${answer.statusCode}${meaning(answer.statusCode)}`);
    const digest = header(answer.headers["docker-content-digest"]);
    if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error("the registry named no digest");
    return digest;
  } catch (error) {
    throw new Error(`${reference} (${new URL(url).host}): ${causeOf(error)}`, { cause: error });
  }
}

function meaning(status: number): string {
  if (status === 404) return ": there is no such image or tag";
  if (status === 401 || status === 403) return ": the image is not public, and homelab lock sends no credentials";
  if (status === 429) return ": too many requests from this address; try again later";
  return "";
}

/**
 * Asks for a manifest, where redirects lead to as well: lscr.io only points to other registries. A token goes to the host that
 * it was given for and no further, and no redirect leads from HTTPS to plain HTTP.
 */
async function ask(url: string, token: string | undefined, signal?: AbortSignal, redirects = 5): Promise<Answer> {
  const { statusCode, headers, body } = await request(url, {
    method: "HEAD",
    headers: { accept: ACCEPT, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    signal: within(signal),
  });
  await body.dump();
  if (![301, 302, 303, 307, 308].includes(statusCode)) return { statusCode, headers, url };
  const next = new URL(header(headers["location"]), url);
  if (redirects === 0) throw new Error(`too many redirects, the last one to ${next.href}`);
  if (new URL(url).protocol === "https:" && next.protocol !== "https:") {
    throw new Error(`it redirects to ${next.href}, which is not HTTPS`);
  }
  return ask(next.href, next.origin === new URL(url).origin ? token : undefined, signal, redirects - 1);
}

interface Answer {
  /** Who answered, after redirects. */
  readonly url: string;
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A token for what the challenge names. Only over HTTPS, or where the registry itself is on this computer. */
async function anonymousToken(challenge: string, signal?: AbortSignal): Promise<string> {
  const parts = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = "", value]) => [key, value]),
  );
  const realm = parts["realm"];
  if (!/^bearer /i.test(challenge) || realm === undefined) throw new Error("the registry asks for credentials");
  const url = new URL(realm);
  for (const key of ["service", "scope"]) {
    const value = parts[key];
    if (value !== undefined) url.searchParams.set(key, value);
  }
  const { statusCode, body } = await request(url, { signal: within(signal) });
  const content: unknown = await body.json().catch(() => undefined);
  const { data } = z
    .looseObject({ token: z.string().optional(), access_token: z.string().optional() })
    .safeParse(content);
  const token = data?.token ?? data?.access_token;
  if (statusCode !== 200 || token === undefined) throw new Error(`${url.host} gave no token (status ${statusCode})`);
  return token;
}

function within(signal?: AbortSignal): AbortSignal {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  return signal === undefined ? limit : AbortSignal.any([signal, limit]);
}

function header(value: string | string[] | undefined): string {
  return (Array.isArray(value) ? value[0] : value) ?? "";
}
