import { PLUGINS } from "../versions";

/** The resource type that this plugin serves. */
export const DNS_RECORD = "cloudflare:index/dnsRecord:DnsRecord";

/** Version of the npm package whose types this plugin matches. */
export const VERSION: string = PLUGINS.find((plugin) => plugin.name === "cloudflare")?.version ?? "";

/** A property in the words of a Pulumi package schema. */
interface PropertySpec {
  type?: "string" | "number" | "boolean" | "array";
  items?: PropertySpec;
  $ref?: string;
}

const text: PropertySpec = { type: "string" };
const number: PropertySpec = { type: "number" };
const flag: PropertySpec = { type: "boolean" };
const object = (name: string): PropertySpec => ({ $ref: `#/types/cloudflare:index/${name}:${capital(name)}` });

/** What a program may set. Names and types are those of `DnsRecordArgs` in the npm package. */
export const INPUTS: Readonly<Record<string, PropertySpec>> = {
  comment: text,
  content: text,
  data: object("dnsRecordData"),
  includeShadowMetadata: flag,
  name: text,
  priority: number,
  privateRouting: flag,
  proxied: flag,
  settings: object("dnsRecordSettings"),
  tags: { type: "array", items: text },
  ttl: number,
  type: text,
  zoneId: text,
};

/** Inputs without which there is no record. */
export const REQUIRED_INPUTS: readonly string[] = ["name", "ttl", "type", "zoneId"];

const OUTPUTS: Readonly<Record<string, PropertySpec>> = {
  ...INPUTS,
  commentModifiedOn: text,
  createdOn: text,
  meta: text,
  modifiedOn: text,
  proxiable: flag,
  tagsModifiedOn: text,
};

const OPTIONAL_OUTPUTS: readonly string[] = ["comment", "data", "priority", "privateRouting"];

/** Components of a record whose content is structured (SRV, CAA, TLSA, …). */
const DATA_TEXT = ["certificate", "fingerprint", "latDirection", "longDirection", "publicKey", "regex", "replacement"];
const DATA_TEXT_TOO = ["digest", "service", "tag", "target", "value"];
const DATA_NUMBERS = ["algorithm", "altitude", "digestType", "keyTag", "latDegrees", "latMinutes", "latSeconds"];
const DATA_NUMBERS_TOO = [
  "longDegrees",
  "longMinutes",
  "longSeconds",
  "matchingType",
  "order",
  "port",
  "precisionHorz",
];
const DATA_NUMBERS_LAST = [
  "precisionVert",
  "preference",
  "priority",
  "protocol",
  "selector",
  "size",
  "type",
  "usage",
  "weight",
];

/** Properties of the `data` and `settings` objects by object name. */
export const OBJECTS: Readonly<Record<string, Readonly<Record<string, PropertySpec>>>> = {
  dnsRecordData: {
    ...all([...DATA_TEXT, ...DATA_TEXT_TOO], text),
    ...all([...DATA_NUMBERS, ...DATA_NUMBERS_TOO, ...DATA_NUMBERS_LAST], number),
    flags: { $ref: "pulumi.json#/Any" }, // a number for CAA and DNSKEY, a text for NAPTR
  },
  dnsRecordSettings: { ...all(["flattenCname", "ipv4Only", "ipv6Only"], flag) },
};

/** The package schema as JSON: what `GetSchema` answers. */
export function packageSchema(): string {
  const types = Object.entries(OBJECTS).map(([name, properties]) => {
    // The API answers all settings of a record; its data only as far as it was given.
    const requiredOutputs = name === "dnsRecordSettings" ? Object.keys(properties) : [];
    const type = { type: "object", properties, language: { nodejs: { requiredOutputs } } };
    return [`cloudflare:index/${name}:${capital(name)}`, type];
  });
  return JSON.stringify({
    name: "cloudflare",
    version: VERSION,
    description: "The Cloudflare resources that the homelab stacks use, for networks without the vendor's downloads.",
    // Tokens have the resource's name in the module, as every bridged provider has them.
    meta: { moduleFormat: "(.*)(?:/[^/]*)" },
    config: {},
    provider: { type: "object", description: "Credentials come from CLOUDFLARE_API_TOKEN at each call." },
    types: Object.fromEntries(types) as object,
    resources: {
      [DNS_RECORD]: {
        description: "A DNS record in a zone at Cloudflare.",
        inputProperties: INPUTS,
        requiredInputs: REQUIRED_INPUTS,
        properties: OUTPUTS,
        required: Object.keys(OUTPUTS).filter((name) => !OPTIONAL_OUTPUTS.includes(name)),
        aliases: [{ type: "cloudflare:index/record:Record" }],
      },
    },
  });
}

function all(names: readonly string[], spec: PropertySpec): Record<string, PropertySpec> {
  return Object.fromEntries(names.map((name) => [name, spec]));
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
