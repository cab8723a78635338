/**
 * Every emulated call against the official schema: path, method, who may call, parameter names, types, which are optional,
 * return type.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { handlers } from "../../lab/handlers";
import { type Handler } from "../../lab/router";
import { EXTRACT_FILE, officialSchema, printExtract, pveSchema, type SchemaMethod } from "./pve-schema";

const name = (handler: Handler): string => `${handler.method} ${handler.path}`;
const HOW_TO_UPDATE = "Write it with UPDATE_GOLDENS=1 where Proxmox's schema is (HOMELAB_PVE_SCHEMA).";

test("no call is declared twice", () => {
  const names = handlers.map(name);
  expect(names.filter((one, index) => names.indexOf(one) !== index)).toEqual([]);
});

test.each(handlers.map((handler) => [name(handler), handler] as const))("%s is PVE's", (key, handler) => {
  const official = pveSchema[key];
  if (official === undefined) throw new Error(`PVE has no ${key}, or ${EXTRACT_FILE} is old. ${HOW_TO_UPDATE}`);
  expect(declared(handler)).toEqual(officialParameters(official, handler));
  const { user, check } = official.permissions;
  expect(handler.permissions).toEqual(check === undefined ? { user } : { check });
  expect(handler.returns).toBe(official.returns.type ?? "null");
});

test("the extract holds the emulated calls and no others", () => {
  expect(Object.keys(pveSchema)).toEqual(handlers.map(name).sort());
});

const official = officialSchema();
if (official !== undefined) {
  test("the extract is what the official schema says", () => {
    const text = printExtract(official, handlers.map(name));
    if (process.env["UPDATE_GOLDENS"] === "1") writeFileSync(EXTRACT_FILE, text);
    if (readFileSync(EXTRACT_FILE, "utf8") !== text) throw new Error(`${EXTRACT_FILE} differs. ${HOW_TO_UPDATE}`);
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
  { takes }: SchemaMethod,
  { unsupported }: Handler,
): Record<string, ParameterShape | "refused"> {
  return Object.fromEntries(
    Object.entries(takes).map(([key, type]) => [
      key,
      unsupported.includes(key) ? "refused" : { type: type.replace(/\?$/, ""), optional: type.endsWith("?") },
    ]),
  );
}
