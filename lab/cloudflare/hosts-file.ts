import type { StoredRecord } from "./store";

const LOCAL_LINES = ["127.0.0.1 localhost", "::1 localhost"];

/**
 * The records as a hosts file: what a resolver of the operator's network would answer. CNAMEs are followed inside the
 * account. A wildcard has no counterpart in a hosts file and is left out, and so is a proxied record: it would lead
 * to Cloudflare's edge, which the lab does not have.
 */
export function printHosts(records: readonly StoredRecord[], fixed: readonly string[] = []): string {
  const lines = records.flatMap((record) => {
    if (record.proxied || record.name.startsWith("*")) return [];
    return addressesOf(record, records, 0).map((address) => `${address} ${record.name}`);
  });
  return [...LOCAL_LINES, ...fixed, ...[...new Set(lines)].sort()].join("\n") + "\n";
}

function addressesOf(record: StoredRecord, all: readonly StoredRecord[], depth: number): string[] {
  if (record.type === "A" || record.type === "AAAA") return [record.content];
  if (record.type !== "CNAME" || depth > 8) return [];
  return all.filter((other) => other.name === record.content).flatMap((other) => addressesOf(other, all, depth + 1));
}
