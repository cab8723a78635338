/** The provider's Pulumi package schema, made from the contracts. */
import { z } from "zod";
import type { ResourceDefinition } from "./definition";
import { guestBoot } from "./resources/guest-boot";
import { guestContainers } from "./resources/guest-containers";
import { isolationControl } from "./resources/isolation-control";
import { isolationProbe } from "./resources/isolation-probe";
import { lease } from "./resources/lease";
import { proxyConfig } from "./resources/proxy-config";
import { readiness } from "./resources/readiness";
import { recordedRoot } from "./resources/recorded-root";
import { recoveryPoint } from "./resources/recovery-point";
import { restorePointArgs } from "./resources/restore-point";
import { restoredVm } from "./resources/restored-vm";
import { serviceCheck } from "./resources/service-check";
import { verdict } from "./resources/verdict";
import { accessSchema, checkAccessArgsSchema } from "./contract/access";
import { deployedContainersSchema, lookupContainersArgsSchema } from "./contract/production";
import { restorePointSchema } from "./contract/run";
import { CHECK_ACCESS, LOOKUP_CONTAINERS, LOOKUP_RESTORE_POINT, PROVIDER_NAME } from "./tokens";

/** Version in the schema and the plugin's name; the repository's own, because the two are never apart. */
export const PROVIDER_VERSION = "0.1.0";

/** Nested objects stand as `Any`: the typed classes in `sdk/` are the description for people. */
const ANY = { $ref: "pulumi.json#/Any" };

const jsonObjectSchema = z.object({
  properties: z.record(z.string(), z.looseObject({ type: z.string().optional(), items: z.unknown().optional() })),
  required: z.array(z.string()).optional(),
});

interface PropertyBag {
  readonly properties: Readonly<Record<string, object>>;
  readonly required: string[];
}

function typeOf(type: string | undefined, items?: unknown): object {
  switch (type) {
    case "string":
    case "number":
    case "boolean":
    case "integer":
      return { type };
    case "array": {
      const item = z.object({ type: z.enum(["string", "number", "boolean", "integer"]) }).safeParse(items);
      return { type: "array", items: item.success ? { type: item.data.type } : ANY };
    }
    case undefined:
    default:
      return ANY;
  }
}

function propertiesOf(schema: z.ZodType): PropertyBag {
  const { properties, required = [] } = jsonObjectSchema.parse(z.toJSONSchema(schema, { unrepresentable: "any" }));
  const entries = Object.entries(properties).map(([name, { type, items }]): [string, object] => [
    name,
    typeOf(type, items),
  ]);
  return { properties: Object.fromEntries(entries), required };
}

function resourceSchema<I extends object, O extends I>({
  token,
  description,
  inputs,
  computed,
}: ResourceDefinition<I, O>): [string, object] {
  const { properties, required } = propertiesOf(inputs);
  const outputs = Object.entries(computed).map(([name, type]): [string, object] => [name, typeOf(String(type))]);
  return [
    token,
    {
      description,
      inputProperties: properties,
      requiredInputs: required,
      properties: { ...properties, ...Object.fromEntries(outputs) },
      required: [...required, ...Object.keys(computed)],
    },
  ];
}

/** The whole schema as JSON text. */
export function schemaText(): string {
  const args = propertiesOf(restorePointArgs);
  const result = propertiesOf(restorePointSchema);
  return JSON.stringify({
    name: PROVIDER_NAME,
    version: PROVIDER_VERSION,
    description:
      "What a Proxmox homelab needs and no public provider has: restore drills with a verdict, and readiness.",
    resources: Object.fromEntries([
      resourceSchema(lease),
      resourceSchema(restoredVm),
      resourceSchema(guestBoot),
      resourceSchema(isolationControl),
      resourceSchema(isolationProbe),
      resourceSchema(serviceCheck),
      resourceSchema(guestContainers),
      resourceSchema(recoveryPoint),
      resourceSchema(verdict),
      resourceSchema(readiness),
      resourceSchema(proxyConfig),
      resourceSchema(recordedRoot),
    ]),
    functions: {
      [CHECK_ACCESS]: {
        description: "Asks Proxmox, Cloudflare and the Docker VM before anything is touched.",
        inputs: { type: "object", ...propertiesOf(checkAccessArgsSchema) },
        outputs: { type: "object", ...propertiesOf(accessSchema) },
      },
      [LOOKUP_CONTAINERS]: {
        description: "Reads what the containers of prod are made from and since when, on the Docker VM.",
        inputs: { type: "object", ...propertiesOf(lookupContainersArgsSchema) },
        outputs: { type: "object", ...propertiesOf(deployedContainersSchema) },
      },
      [LOOKUP_RESTORE_POINT]: {
        description: "Finds the archive to restore: the newest, or the given one.",
        inputs: { type: "object", ...args },
        outputs: { type: "object", ...result },
      },
    },
  });
}
