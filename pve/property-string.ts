/** PVE property strings (`virtio=BC:…,bridge=vmbr0,firewall=1`). Source: PVE `JSONSchema::parse_property_string`. */

/**
 * Splits a property string. A part without `=` is the value of `defaultKey`. Empty parts (PVE tolerates a trailing comma) are
 * dropped.
 *
 * @throws Error on a part without `=` where there is no default key, and on a key given twice.
 */
export function parsePropertyString(text: string, defaultKey?: string): Record<string, string> {
  const properties: Record<string, string> = {};
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    const equals = part.indexOf("=");
    const key = equals < 0 ? defaultKey : part.slice(0, equals).trim();
    if (key === undefined) {
      throw new Error(`Unable to parse "${text}": "${part}" has no key. Write key=value pairs separated by commas.`);
    }
    if (Object.hasOwn(properties, key))
      throw new Error(`Unable to parse "${text}": the key "${key}" stands twice. Give each key once.`);
    properties[key] = equals < 0 ? part.trim() : part.slice(equals + 1);
  }
  return properties;
}

/** Joins properties; the default key's value comes first and without its key. */
export function printPropertyString(properties: Readonly<Record<string, string>>, defaultKey?: string): string {
  const entries = Object.entries(properties);
  const first = entries.filter(([key]) => key === defaultKey).map(([, value]) => value);
  const rest = entries.filter(([key]) => key !== defaultKey).map(([key, value]) => `${key}=${value}`);
  return [...first, ...rest].join(",");
}
