/** Finds at Cloudflare the records that planned resources stand for. Only reads. */
import Cloudflare from "cloudflare";
import { CliError, causeOf } from "../errors";
import { type PlannedResource, textInput } from "./plan";
import type { Locate } from "./proxmox";
import type { Located } from "./state";

const TIMEOUT_MS = 20_000;

/** Lookups by resource type. Token and address come from the environment, under the names of Cloudflare's own SDKs. */
export function dnsLookups(environment: NodeJS.ProcessEnv = process.env): Readonly<Record<string, Locate>> {
  return { "cloudflare:index/dnsRecord:DnsRecord": (planned) => locateRecord(environment, planned) };
}

async function locateRecord(environment: NodeJS.ProcessEnv, planned: PlannedResource): Promise<Located | undefined> {
  const [zone, name, type] = [textInput(planned, "zoneId"), textInput(planned, "name"), textInput(planned, "type")];
  const ids: string[] = [];
  try {
    const client = new Cloudflare({
      apiToken: environment["CLOUDFLARE_API_TOKEN"] ?? null,
      baseURL: environment["CLOUDFLARE_BASE_URL"] ?? null,
      timeout: TIMEOUT_MS,
    });
    const query = { zone_id: zone, name: { exact: name }, type: type as "A" };
    for await (const record of client.dns.records.list(query)) ids.push(record.id);
  } catch (error) {
    throw new CliError(
      `Unable to look up the ${type} record ${name}: ${causeOf(error)}. Check CLOUDFLARE_API_TOKEN and homelab:dns.zoneId.`,
      { cause: error },
    );
  }
  const [id, ...others] = ids;
  if (others.length > 0) {
    throw new CliError(
      `Unable to adopt the ${type} record ${name}: there are ${ids.length} of it (${ids.join(", ")}). ` +
        "Remove all but the one that is right.",
    );
  }
  return id === undefined ? undefined : { id };
}
