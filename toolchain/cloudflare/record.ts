import { isDeepStrictEqual } from "node:util";

import { INPUTS, OBJECTS, REQUIRED_INPUTS } from "./schema";
import { isObject, type Plain } from "./wire";

/** A property and what is wrong with it. */
export interface Failure {
  property: string;
  reason: string;
}

/** Properties by their Pulumi names, without wrapping. */
export type Properties = Record<string, unknown>;

/** Every problem of a program's inputs, by property. Values that aren't known yet pass. */
export function checkInputs(inputs: ReadonlyMap<string, Plain>): Failure[] {
  const failures: Failure[] = [];
  for (const property of REQUIRED_INPUTS) {
    if (!inputs.has(property)) failures.push({ property, reason: `missing; a DNS record needs ${property}` });
  }
  for (const [property, { value, unknown }] of inputs) {
    const spec = INPUTS[property];
    if (spec === undefined) failures.push({ property, reason: "a DNS record has no such property" });
    else if (!unknown) failures.push(...checkValue(property, value, spec));
  }
  if (inputs.get("name")?.value === "@") {
    failures.push({ property: "name", reason: "@ is not supported by this plugin; write the zone's name in full" });
  }
  const ttl = inputs.get("ttl")?.value;
  if (typeof ttl === "number" && ttl !== 1 && (ttl < 30 || ttl > 86_400)) {
    failures.push({ property: "ttl", reason: `${ttl} is not 1 (automatic) or a number of seconds from 30 to 86400` });
  }
  return failures;
}

/**
 * Names of the inputs that differ from the state. An input that the program leaves out differs only where leaving it out
 * means something: comment, priority, data and privateRouting are cleared, proxied and tags go back to off and none.
 */
export function changedInputs(state: Properties, inputs: ReadonlyMap<string, Plain>): string[] {
  const type = inputs.get("type")?.value;
  return Object.keys(INPUTS).filter((name) => {
    const input = inputs.get(name);
    if (input?.unknown) return true;
    if (input !== undefined) return !sameValue(name, type, input.value, state[name]);
    const current = state[name];
    if (name === "comment") return current !== undefined && current !== "";
    if (name === "proxied") return current === true;
    if (name === "tags") return Array.isArray(current) && current.length > 0;
    return ["priority", "data", "privateRouting"].includes(name) && current !== undefined;
  });
}

/** The request body for these inputs: everything but the zone, in the API's spelling. */
export function toBody(inputs: Properties): Properties {
  const body = { proxied: false, ...respell(inputs, snakeCase) };
  return Object.fromEntries(
    Object.entries(body).filter(([name]) => name !== "zone_id" && name !== "include_shadow_metadata"),
  );
}

/** The resource's outputs for a record as the API answered it; `inputs` keep their spelling where it means the same. */
export function toOutputs(record: Properties, zoneId: string, inputs: Properties): Properties {
  const outputs = respell(record, camelCase);
  delete outputs["id"];
  delete outputs["zoneName"];
  const meta = outputs["meta"];
  if (meta !== undefined) outputs["meta"] = JSON.stringify(meta);
  const { type } = outputs;
  for (const [name, value] of Object.entries(inputs)) {
    const same = name === "name" ? isNameFor(value, outputs["name"]) : sameValue(name, type, value, outputs[name]);
    if (name in INPUTS && same) outputs[name] = value;
  }
  // The API answers `data` also for records that are given by their content.
  if (inputs["data"] === undefined && inputs["content"] !== undefined) delete outputs["data"];
  return { includeShadowMetadata: false, settings: {}, tags: [], ...outputs, zoneId };
}

/** The inputs of a record that is imported: its outputs without what only the API sets. */
export function toInputs(outputs: Properties): Properties {
  const given = Object.entries(outputs).filter(([name]) => name in INPUTS && name !== "includeShadowMetadata");
  return Object.fromEntries(given.filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return value === "" || (isObject(value) && Object.keys(value).length === 0);
}

function checkValue(property: string, value: unknown, spec: (typeof INPUTS)[string]): Failure[] {
  const object = Object.entries(OBJECTS).find(([name]) => spec.$ref?.includes(`/${name}:`))?.[1];
  if (object !== undefined) {
    if (!isObject(value)) return [{ property, reason: `${JSON.stringify(value)} is not an object` }];
    return Object.entries(value).flatMap(([key, item]) => {
      const inner = object[key];
      if (inner === undefined) return [{ property: `${property}.${key}`, reason: "there is no such property" }];
      return inner.$ref === undefined ? checkValue(`${property}.${key}`, item, inner) : [];
    });
  }
  if (spec.type === "array") {
    const fits = Array.isArray(value) && value.every((item) => item === undefined || typeof item === "string");
    return fits ? [] : [{ property, reason: `${JSON.stringify(value)} is not a list of texts` }];
  }
  return typeof value === spec.type
    ? []
    : [{ property, reason: `${JSON.stringify(value)} is not a ${spec.type ?? "text"}` }];
}

/** Whether the API's value means what the program wrote. */
function sameValue(name: string, type: unknown, input: unknown, current: unknown): boolean {
  if (typeof input === "string" && typeof current === "string") {
    if (name === "name") return input.toLowerCase() === current.toLowerCase();
    if (name === "content") return comparable(type, input) === comparable(type, current);
  }
  if (name === "tags" && Array.isArray(input) && Array.isArray(current)) {
    return isDeepStrictEqual([...(input as unknown[])].sort(), [...(current as unknown[])].sort());
  }
  if (isObject(input) && isObject(current)) {
    return Object.entries(input).every(([key, value]) => isDeepStrictEqual(value, current[key]));
  }
  return isDeepStrictEqual(input, current);
}

/** Whether the API's full name is what the program may have meant: a name in full, or relative to the zone. */
function isNameFor(input: unknown, full: unknown): boolean {
  if (typeof input !== "string" || typeof full !== "string") return false;
  const [a, b] = [input.toLowerCase().replace(/\.$/, ""), full.toLowerCase()];
  return a === b || b.startsWith(`${a}.`);
}

function comparable(type: unknown, content: string): string {
  if (type === "TXT") return content.replace(/^"(.*)"$/s, "$1");
  return content.toLowerCase().replace(/\.$/, "");
}

function respell(value: Properties, spell: (name: string) => string): Properties {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined && item !== null);
  return Object.fromEntries(
    entries.map(([name, item]) => [spell(name), isObject(item) && name !== "meta" ? respell(item, spell) : item]),
  );
}

// "ipv4Only" is "ipv4_only"; digits stay with the word before them.
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}
