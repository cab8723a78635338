/** Validation of DNS records as Cloudflare does it: codes and texts as its API answers them. */
import { isIPv4, isIPv6 } from "node:net";
import { notEmulated, refusal } from "./errors";

/** Record types the lab can serve. */
export const RECORD_TYPES = ["A", "AAAA", "CNAME", "TXT"] as const;
export type RecordType = (typeof RECORD_TYPES)[number];

/** What a caller may set on a record, complete and normalized. */
export interface RecordContent {
  type: RecordType;
  /** Full name, lower case, without a final dot. */
  name: string;
  content: string;
  /** Seconds; 1 is "automatic". */
  ttl: number;
  proxied: boolean;
  comment: string | null;
  tags: string[];
  settings: Record<string, unknown>;
}

const KNOWN_KEYS = new Set(["type", "name", "content", "ttl", "proxied", "comment", "tags", "settings"]);
const NOT_EMULATED_KEYS = new Set(["data", "priority", "private_routing"]);

/** Whether a name consists of DNS labels. `*` may be the first label, `_` may start one. */
export function isDnsName(name: string): boolean {
  if (name.length === 0 || name.length > 253) return false;
  return name
    .split(".")
    .every((label, index) => (index === 0 && label === "*") || /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label));
}

/** `@`, a relative name or a full one to the full name: everything outside the zone is taken as relative. */
export function normalizeName(name: string, zone: string): string {
  const plain = name.toLowerCase().replace(/\.$/, "");
  if (plain === "@" || plain === zone) return zone;
  return plain.endsWith(`.${zone}`) ? plain : `${plain}.${zone}`;
}

/** Checks a request body (already merged with the old record for PATCH) and completes it. Throws `CloudflareError`. */
export function normalizeRecord(body: Record<string, unknown>, zone: string): RecordContent {
  for (const [key, value] of Object.entries(body)) {
    if (NOT_EMULATED_KEYS.has(key)) {
      if (value !== null && value !== undefined) throw notEmulated(`the record property "${key}"`);
    } else if (!KNOWN_KEYS.has(key)) throw refusal(400, 9207, `Request body is invalid: unknown property "${key}".`);
  }
  const type = normalizeType(body["type"]);
  const name = body["name"];
  if (typeof name !== "string" || !isDnsName(normalizeName(name, zone))) {
    throw refusal(400, 9000, "DNS name is invalid.");
  }
  const proxied = booleanOf(body["proxied"], "proxied", false);
  if (proxied && type === "TXT") throw refusal(400, 9004, "This record type cannot be proxied.");
  return {
    type,
    name: normalizeName(name, zone),
    content: normalizeContent(type, body["content"]),
    ttl: proxied ? 1 : normalizeTtl(body["ttl"]),
    proxied,
    comment: normalizeComment(body["comment"]),
    tags: normalizeTags(body["tags"]),
    settings: normalizeSettings(body["settings"]),
  };
}

function normalizeType(value: unknown): RecordType {
  const known = RECORD_TYPES.find((type) => type === value);
  if (known !== undefined) return known;
  if (typeof value === "string" && /^[A-Z]{1,10}$/.test(value)) throw notEmulated(`DNS records of type ${value}`);
  throw refusal(400, 9001, "Invalid or missing DNS record type.");
}

function normalizeContent(type: RecordType, value: unknown): string {
  const content = typeof value === "string" ? value.trim() : "";
  switch (type) {
    case "A":
      if (!isIPv4(content)) throw refusal(400, 9005, "Content for A record must be a valid IPv4 address.");
      return content;
    case "AAAA":
      if (!isIPv6(content)) throw refusal(400, 9006, "Content for AAAA record must be a valid IPv6 address.");
      return content.toLowerCase();
    case "CNAME": {
      const target = content.toLowerCase().replace(/\.$/, "");
      if (!isDnsName(target)) throw refusal(400, 9007, "Content for CNAME record is invalid.");
      return target;
    }
    case "TXT":
      if (content.length === 0 || content.length > 2048) throw refusal(400, 9009, "Content for TXT record is invalid.");
      return content;
    default:
      return type satisfies never;
  }
}

function normalizeTtl(value: unknown): number {
  if (value === undefined || value === null) return 1;
  if (typeof value !== "number" || !Number.isInteger(value) || (value !== 1 && (value < 60 || value > 86_400))) {
    throw refusal(400, 9021, "Invalid TTL. Must be between 60 and 86,400 seconds, or 1 for Automatic.");
  }
  return value;
}

function booleanOf(value: unknown, key: string, fallback: boolean): boolean {
  if (value === undefined || value === null) return fallback;
  if (typeof value !== "boolean") throw refusal(400, 9207, `Request body is invalid: "${key}" must be a boolean.`);
  return value;
}

function normalizeComment(value: unknown): string | null {
  if (value === undefined || value === null || value === "") return null;
  if (typeof value !== "string") throw refusal(400, 9207, 'Request body is invalid: "comment" must be a string.');
  if (value.length > 100) throw refusal(400, 9208, "DNS record comment is longer than 100 characters.");
  return value;
}

function normalizeTags(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((tag): tag is string => typeof tag === "string")) {
    throw refusal(400, 9207, 'Request body is invalid: "tags" must be a list of strings.');
  }
  return [...value];
}

function normalizeSettings(value: unknown): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw refusal(400, 9207, 'Request body is invalid: "settings" must be an object.');
  }
  return Object.fromEntries(Object.entries(value).filter(([, setting]) => setting !== null));
}
