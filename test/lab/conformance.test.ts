/** Every emulated call against the official schema: path, method, parameter names, types, which are optional, return type. */
import { handlers } from "../../lab/handlers";
import { type Handler } from "../../lab/router";
import { pveSchema, SCHEMA_FILE, type SchemaMethod } from "./pve-schema";

const name = (handler: Handler): string => `${handler.method} ${handler.path}`;

if (pveSchema === undefined) {
  if (process.env["CI"] === "true") {
    test("the official schema is there", () => {
      throw new Error(
        `Unable to compare the lab with PVE's API: ${SCHEMA_FILE} is missing. Point HOMELAB_PVE_SCHEMA at pve-api.json.`,
      );
    });
  } else {
    test.skip(`not compared with PVE's API: ${SCHEMA_FILE} is missing, set HOMELAB_PVE_SCHEMA`, () => undefined);
  }
} else {
  const schema = pveSchema;
  test("no call is declared twice", () => {
    const names = handlers.map(name);
    expect(names.filter((one, index) => names.indexOf(one) !== index)).toEqual([]);
  });

  test.each(handlers.map((handler) => [name(handler), handler] as const))("%s is PVE's", (key, handler) => {
    const official = schema[key];
    if (official === undefined) throw new Error(`PVE has no ${key}.`);
    expect(declared(handler)).toEqual(officialParameters(official, handler));
    expect(handler.returns).toBe(official.returns?.type ?? "null");
  });
}

interface ParameterShape {
  readonly type: string;
  readonly optional: boolean;
}

function declared({ parameters, unsupported }: Handler): Record<string, ParameterShape | "refused"> {
  return {
    ...Object.fromEntries(Object.entries(parameters).map(([key, { type, optional }]) => [key, { type, optional }])),
    ...Object.fromEntries(unsupported.map((key) => [key, "refused" as const])),
  };
}

/** PVE's parameters; those that the lab refuses only need to exist. */
function officialParameters(
  { parameters }: SchemaMethod,
  { unsupported }: Handler,
): Record<string, ParameterShape | "refused"> {
  return Object.fromEntries(
    Object.entries(parameters.properties ?? {}).map(([key, { type = "string", optional }]) => [
      key,
      unsupported.includes(key) ? "refused" : { type, optional: Number(optional ?? 0) === 1 },
    ]),
  );
}
