import type {
  CheckResult,
  CreateResult,
  DiffResult,
  Provider,
  ReadResult,
  UpdateResult,
} from "@pulumi/pulumi/provider";
import Cloudflare, { APIError, NotFoundError } from "cloudflare";
import type { RecordCreateParams, RecordUpdateParams } from "cloudflare/resources/dns/records";

import { changedInputs, checkInputs, type Properties, toBody, toInputs, toOutputs } from "./record";
import { DNS_RECORD, packageSchema, VERSION } from "./schema";
import { asSecret, type Plain, unwrapProperties } from "./wire";

const REQUEST_TIMEOUT_MS = 30_000;

/**
 * Serves `cloudflare:index/dnsRecord:DnsRecord` over Cloudflare's official SDK. The credentials are CLOUDFLARE_API_TOKEN
 * and, for another API than the public one, CLOUDFLARE_BASE_URL, read at each call: rotation makes no diff. Provider
 * configuration (`cloudflare:apiToken`) is not read: `@pulumi/pulumi/provider` doesn't pass it on.
 */
export class CloudflareProvider implements Provider {
  readonly version = VERSION;
  readonly schema = packageSchema();

  async check(urn: string, _olds: unknown, news: unknown): Promise<CheckResult> {
    requireType(urn);
    return { inputs: news, failures: checkInputs(unwrapProperties(news)) };
  }

  async diff(_id: string, urn: string, olds: unknown, news: unknown): Promise<DiffResult> {
    requireType(urn);
    const changed = changedInputs(values(unwrapProperties(olds)), unwrapProperties(news));
    return { changes: changed.length > 0, replaces: changed.filter((name) => name === "zoneId") };
  }

  async create(urn: string, inputs: unknown): Promise<CreateResult> {
    requireType(urn);
    const wrapped = unwrapProperties(inputs);
    const plain = values(wrapped);
    const zoneId = zoneOf(plain);
    const record = await attempt("create", describe(plain), () =>
      // The body's properties were checked by type; which of them a record type takes is the API's to say.
      client().dns.records.create({ zone_id: zoneId, ...toBody(plain) } as unknown as RecordCreateParams),
    );
    return { id: record.id, outs: outputs(record, zoneId, plain, wrapped) };
  }

  async read(id: string, urn: string, props?: unknown): Promise<ReadResult> {
    requireType(urn);
    const wrapped = unwrapProperties(props);
    const state = values(wrapped);
    const [importZone, importRecord] = id.split("/");
    const isImport = importRecord !== undefined;
    const zoneId = isImport ? importZone : state["zoneId"];
    const recordId = importRecord ?? id;
    if (typeof zoneId !== "string" || zoneId === "" || recordId === "") {
      throw new Error(`Unable to read DNS record ${id}: its zone is not known. Use the id "<zone id>/<record id>".`);
    }
    try {
      const record = await attempt("read", `DNS record ${recordId}`, () =>
        client().dns.records.get(recordId, { zone_id: zoneId }),
      );
      const props = outputs(record, zoneId, state, wrapped);
      return isImport ? { id: record.id, props, inputs: toInputs(props) } : { id: record.id, props };
    } catch (error) {
      if (isMissing(error)) return { id: "", props: {} };
      throw error;
    }
  }

  async update(id: string, urn: string, _olds: unknown, news: unknown): Promise<UpdateResult> {
    requireType(urn);
    const wrapped = unwrapProperties(news);
    const plain = values(wrapped);
    const zoneId = zoneOf(plain);
    const record = await attempt("update", describe(plain), () =>
      client().dns.records.update(id, { zone_id: zoneId, ...toBody(plain) } as unknown as RecordUpdateParams),
    );
    return { outs: outputs(record, zoneId, plain, wrapped) };
  }

  async delete(id: string, urn: string, props: unknown): Promise<void> {
    requireType(urn);
    const state = values(unwrapProperties(props));
    try {
      await attempt("delete", describe(state), () => client().dns.records.delete(id, { zone_id: zoneOf(state) }));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}

function client(): Cloudflare {
  const apiToken = process.env["CLOUDFLARE_API_TOKEN"];
  if (!apiToken) {
    throw new Error("Unable to call the Cloudflare API: there is no API token. Set CLOUDFLARE_API_TOKEN.");
  }
  const baseURL = process.env["CLOUDFLARE_BASE_URL"];
  // The SDK takes other credentials from the environment too, and the API rejects a mixture.
  const others = { apiKey: null, apiEmail: null, userServiceKey: null };
  return new Cloudflare({ apiToken, ...others, baseURL: baseURL || undefined, timeout: REQUEST_TIMEOUT_MS });
}

async function attempt<T>(action: string, what: string, call: () => PromiseLike<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!isApiError(error)) throw error;
    const details = error.errors.map((item) => `${item.message ?? "error"} (${item.code ?? "no code"})`).join("; ");
    const cause = details === "" ? error.message : details;
    throw new Error(`Unable to ${action} ${what}: ${cause}. ${advice(error)}`, { cause: error });
  }
}

/** https://developers.cloudflare.com/api: HTTP 401 and 403 for credentials, code 81053 and others for duplicates. */
function advice(error: APIError): string {
  const { status } = error;
  if (status === undefined) return "Check the network and CLOUDFLARE_BASE_URL, then run the update again.";
  if (status === 401 || status === 403) return "Check CLOUDFLARE_API_TOKEN: it needs DNS edit rights in this zone.";
  if (status === 404) return "Run `pulumi refresh`; it drops records that are gone.";
  const codes = error.errors.map((item) => item.code);
  if (codes.some((code) => code !== undefined && [81053, 81054, 81057, 81058].includes(code))) {
    return 'Import the existing record (`pulumi import`, id "<zone id>/<record id>") or delete it.';
  }
  if (status === 429 || status >= 500) return "Run the update again later.";
  return "Correct the record's properties.";
}

/** `instanceof` alone would type the error's parts as any. */
function isApiError(error: unknown): error is APIError {
  return error instanceof APIError;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof NotFoundError;
}

/** Outputs in which what was a secret input stays secret. */
function outputs(record: object, zoneId: string, inputs: Properties, wrapped: ReadonlyMap<string, Plain>): Properties {
  const plain = toOutputs({ ...record }, zoneId, inputs);
  return Object.fromEntries(
    Object.entries(plain).map(([name, value]) => [name, wrapped.get(name)?.secret ? asSecret(value) : value]),
  );
}

function values(properties: ReadonlyMap<string, Plain>): Properties {
  return Object.fromEntries([...properties].map(([name, { value }]) => [name, value]));
}

function zoneOf(properties: Properties): string {
  const zoneId = properties["zoneId"];
  if (typeof zoneId !== "string")
    throw new Error("Unable to find the zone of a DNS record: zoneId is not a text. Set it.");
  return zoneId;
}

function describe(properties: Properties): string {
  return `DNS record ${String(properties["name"])} (${String(properties["type"])}) in zone ${String(properties["zoneId"])}`;
}

function requireType(urn: string): void {
  const type = urn.split("::")[2]?.split("$").pop();
  if (type !== DNS_RECORD) {
    throw new Error(
      `Unable to serve ${type ?? urn}: this build of the Cloudflare plugin has only ${DNS_RECORD}. ` +
        `Use the vendor's plugin, which a machine with internet access downloads.`,
    );
  }
}
