/** From the engine's messages to what the rules are given. */
import type { AnalyzeRequest, AnalyzerResource } from "@pulumi/pulumi/proto/analyzer_pb";
import { type ClearText, type PolicyResource, type PolicyValue, UNKNOWN } from "./resource";

/** Key and values by which Pulumi marks special values (sdk/nodejs/runtime/rpc.ts). */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Stand-ins for values that are not known yet (sdk/go/common/resource/plugin/rpc.go). */
const UNKNOWN_VALUES: ReadonlySet<unknown> = new Set([
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

/** One resource. `additionalSecretOutputs` become secret as a whole, so their inputs count as secret too. */
export function toResource(message: AnalyzeRequest | AnalyzerResource): PolicyResource {
  const options = message.getOptions();
  const clearTexts: ClearText[] = [];
  const secretOutputs = new Set(options?.getAdditionalsecretoutputsList() ?? []);
  const raw = message.getProperties()?.toJavaScript() ?? {};
  const properties: Record<string, PolicyValue> = {};
  for (const [name, value] of Object.entries(raw)) {
    properties[name] = toValue(value, name, secretOutputs.has(name) ? undefined : clearTexts);
  }
  return {
    urn: message.getUrn(),
    type: message.getType(),
    name: message.getName(),
    parent: options?.getParent() ?? "",
    protect: options?.getProtect() ?? false,
    properties,
    clearTexts,
  };
}

/** `clear` takes the texts that are not secret; absent inside a secret. */
function toValue(raw: unknown, path: string, clear: ClearText[] | undefined): PolicyValue {
  if (UNKNOWN_VALUES.has(raw)) return UNKNOWN;
  if (typeof raw === "string") {
    clear?.push({ path, text: raw });
    return raw;
  }
  if (raw === null || typeof raw === "number" || typeof raw === "boolean") return raw;
  if (Array.isArray(raw)) return raw.map((item, index) => toValue(item, `${path}[${index}]`, clear));
  if (typeof raw !== "object") return null;
  const record = raw as Readonly<Record<string, unknown>>;
  if (record[SIGNATURE] === SECRET) return toValue(record["value"], path, undefined);
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name, toValue(value, `${path}.${name}`, clear)]),
  );
}
