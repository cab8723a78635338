/** Cloudflare's answers: how zones, records and lists look on the wire. */
import { notEmulated, refusal } from "./errors";
import type { StoredRecord } from "./store";

const RECORD_FILTERS = new Set([
  ...["type", "name", "name.exact", "content", "content.exact", "comment.exact", "proxied"],
  ...["page", "per_page", "match", "order", "direction"],
]);

/** Applies the list filters. An unknown one is refused: ignoring it would answer with too much. */
export function listRecords(records: readonly StoredRecord[], query: Record<string, string>): StoredRecord[] {
  const unknown = Object.keys(query).find((key) => !RECORD_FILTERS.has(key));
  if (unknown !== undefined) throw notEmulated(`the DNS record filter "${unknown}"`);
  if (query["match"] === "any") throw notEmulated('"match=any"');
  const name = (query["name.exact"] ?? query["name"])?.toLowerCase();
  const content = query["content.exact"] ?? query["content"];
  return records
    .filter((record) => query["type"] === undefined || record.type === query["type"])
    .filter((record) => name === undefined || record.name === name)
    .filter((record) => content === undefined || record.content === content)
    .filter((record) => query["comment.exact"] === undefined || record.comment === query["comment.exact"])
    .filter((record) => query["proxied"] === undefined || String(record.proxied) === query["proxied"])
    .sort((a, b) => a.name.localeCompare(b.name) || a.type.localeCompare(b.type));
}

/** One page of a list with Cloudflare's `result_info`. */
export function page(items: readonly unknown[], query: Record<string, string>, defaultSize: number) {
  const number = positive(query["page"], 1, "page");
  const size = positive(query["per_page"], defaultSize, "per_page");
  const result = items.slice((number - 1) * size, number * size);
  return {
    result,
    success: true,
    errors: [],
    messages: [],
    result_info: {
      page: number,
      per_page: size,
      count: result.length,
      total_count: items.length,
      total_pages: Math.ceil(items.length / size),
    },
  };
}

function positive(text: string | undefined, fallback: number, name: string): number {
  if (text === undefined) return fallback;
  if (!/^[1-9][0-9]{0,6}$/.test(text)) throw refusal(400, 9207, `Invalid value for "${name}".`);
  return Number(text);
}

export function printZone(zone: { id: string; name: string }) {
  return {
    id: zone.id,
    name: zone.name,
    status: "active",
    paused: false,
    type: "full",
    development_mode: 0,
    name_servers: ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"],
    original_name_servers: null,
    original_registrar: null,
    original_dnshost: null,
    created_on: "2024-01-01T00:00:00.000000Z",
    modified_on: "2024-01-01T00:00:00.000000Z",
    activated_on: "2024-01-01T00:00:00.000000Z",
    account: { id: "0".repeat(32), name: "Homelab rehearsal lab" },
    owner: { id: null, type: "user", email: null },
    permissions: ["#dns_records:edit", "#dns_records:read", "#zone:read"],
    plan: { id: "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", name: "Free Website", price: 0, currency: "USD" },
  };
}

export function printRecord(record: StoredRecord) {
  return {
    id: record.id,
    name: record.name,
    type: record.type,
    content: record.content,
    proxiable: record.type !== "TXT",
    proxied: record.proxied,
    ttl: record.ttl,
    settings: record.settings,
    meta: {},
    comment: record.comment,
    tags: record.tags,
    created_on: record.created_on,
    modified_on: record.modified_on,
    ...(record.comment === null ? {} : { comment_modified_on: record.modified_on }),
    ...(record.tags.length === 0 ? {} : { tags_modified_on: record.modified_on }),
  };
}
