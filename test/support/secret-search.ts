/** Looks for secrets where none may be. */
import { lstatSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** A secret's name, for messages, and its value. */
export type Secrets = Readonly<Record<string, string>>;

/** Names of the secrets that a text or a file holds: as it is, in Base64, or encoded for an address. */
export function secretsIn(content: string | Buffer, secrets: Secrets): string[] {
  const buffer = typeof content === "string" ? Buffer.from(content) : content;
  return Object.entries(secrets).flatMap(([name, value]) => {
    if (value.length < 8) throw new Error(`Unable to search for secret ${name}: it is too short to be told apart.`);
    return formsOf(value).some((form) => buffer.includes(form)) ? [name] : [];
  });
}

function formsOf(value: string): string[] {
  // In a longer text Base64 depends on what stands before: three ways, without the letters at the ends that others share.
  const base64 = [0, 1, 2].map((before) =>
    Buffer.from(" ".repeat(before) + value)
      .toString("base64")
      .slice(before === 0 ? 0 : before + 1, -4),
  );
  return [...new Set([value, encodeURIComponent(value), ...base64])];
}

/** Regular files below a folder, without what `isLeftOut` names. */
export function filesBelow(dir: string, isLeftOut: (file: string) => boolean): string[] {
  return readdirSync(dir).flatMap((name) => {
    const file = join(dir, name);
    if (isLeftOut(file)) return [];
    const stat = lstatSync(file);
    if (stat.isDirectory()) return filesBelow(file, isLeftOut);
    return stat.isFile() ? [file] : [];
  });
}

/** `<file>: <secret>` for each that a file holds. */
export function findSecrets(files: readonly string[], secrets: Secrets): string[] {
  return files.flatMap((file) => secretsIn(readFileSync(file), secrets).map((name) => `${file}: ${name}`));
}
