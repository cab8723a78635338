/** The shape of a property, as far as it matters to a program that sets or reads it. */
export type Shape = "string" | "number" | "boolean" | "any" | { list: Shape } | { map: Shape } | { object: Properties };

/** Properties by name; a trailing "?" in the name marks an optional one. */
export type Properties = Record<string, Shape>;

/** What a program may set on a resource, and what it may read. */
export interface ResourceShape {
  inputs: Properties;
  outputs: Properties;
}

/** Name of a property with its mark. */
export function named(name: string, optional: boolean): string {
  return optional ? `${name}?` : name;
}

/** Differences as sorted lines: "<path>: <left> in <leftName>, <right> in <rightName>". */
export function differences(path: string, npm: Properties, plugin: Properties): string[] {
  const names = new Set([...Object.keys(npm), ...Object.keys(plugin)].map((name) => name.replace(/\?$/, "")));
  return [...names].sort().flatMap((name) => {
    const here = `${path}.${name}`;
    const [a, b] = [npm[name] ?? npm[`${name}?`], plugin[name] ?? plugin[`${name}?`]];
    if (a === undefined) return [`${here}: only in the plugin`];
    if (b === undefined) return [`${here}: only in npm`];
    const required =
      name in npm === name in plugin ? [] : [`${here}: required only in ${name in npm ? "npm" : "the plugin"}`];
    return [...required, ...shapeDifferences(here, a, b)];
  });
}

function shapeDifferences(path: string, npm: Shape, plugin: Shape): string[] {
  if (typeof npm !== "string" && typeof plugin !== "string") {
    if ("list" in npm && "list" in plugin) return shapeDifferences(`${path}[]`, npm.list, plugin.list);
    if ("map" in npm && "map" in plugin) return shapeDifferences(`${path}{}`, npm.map, plugin.map);
    if ("object" in npm && "object" in plugin) return differences(path, npm.object, plugin.object);
  }
  const [a, b] = [kind(npm), kind(plugin)];
  return a === b ? [] : [`${path}: ${a} in npm, ${b} in the plugin`];
}

function kind(shape: Shape): string {
  return typeof shape === "string" ? shape : (Object.keys(shape)[0] ?? "nothing");
}
