/**
 * The official API schema (pve-docs `apidata.js` as JSON, keyed by `"METHOD /path"`), which lies beside the repository or where
 * `HOMELAB_PVE_SCHEMA` says. It is Proxmox's file and therefore no part of the repository.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface SchemaNode {
  readonly type?: string;
  readonly optional?: number | string;
  readonly enum?: readonly (string | number)[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
}

export interface SchemaMethod {
  readonly parameters: { readonly properties?: Readonly<Record<string, SchemaNode>> };
  readonly returns?: SchemaNode;
}

export type PveSchema = Readonly<Record<string, SchemaMethod>>;

export const SCHEMA_FILE =
  process.env["HOMELAB_PVE_SCHEMA"] ?? join(__dirname, "..", "..", "..", "shared", "pve-api.json");

/** Undefined where the file is missing. */
export const pveSchema: PveSchema | undefined = existsSync(SCHEMA_FILE)
  ? (JSON.parse(readFileSync(SCHEMA_FILE, "utf8")) as PveSchema)
  : undefined;

/** What is wrong with an answer, by PVE's own declaration. Undeclared properties are allowed there, as in PVE. */
export function answerProblems(node: SchemaNode, value: unknown, path = "data"): string[] {
  switch (node.type) {
    case "null":
      return value === null ? [] : [`${path}: is not null`];
    case "boolean":
      return value === 0 || value === 1 ? [] : [`${path}: ${JSON.stringify(value)} is not 0 or 1`];
    case "integer":
      // Perl sends integers as text in some places, PVE's own clients read both.
      return /^-?\d+$/.test(String(value)) ? [] : [`${path}: ${JSON.stringify(value)} is no integer`];
    case "number":
      return Number.isFinite(Number(value)) ? [] : [`${path}: ${JSON.stringify(value)} is no number`];
    case "string":
      return typeof value === "string" || typeof value === "number" || value === null
        ? enumProblems(node, value, path)
        : [`${path}: ${JSON.stringify(value)} is no string`];
    case "array":
      if (!Array.isArray(value)) return [`${path}: is no array`];
      return value.flatMap((item, index) =>
        node.items === undefined ? [] : answerProblems(node.items, item, `${path}[${index}]`),
      );
    case "object":
      return objectProblems(node, value, path);
    case undefined:
    default:
      return [];
  }
}

function enumProblems(node: SchemaNode, value: unknown, path: string): string[] {
  return node.enum === undefined || node.enum.map(String).includes(String(value))
    ? []
    : [`${path}: ${JSON.stringify(value)} is none of ${node.enum.join(", ")}`];
}

function objectProblems(node: SchemaNode, value: unknown, path: string): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${path}: is no object`];
  const entries = new Map<string, unknown>(Object.entries(value));
  return Object.entries(node.properties ?? {}).flatMap(([name, property]) => {
    if (name.endsWith("[n]")) {
      const pattern = new RegExp(`^${name.slice(0, -3)}\\d+$`);
      return [...entries]
        .filter(([key]) => pattern.test(key))
        .flatMap(([key, item]) => answerProblems(property, item, `${path}.${key}`));
    }
    if (!entries.has(name)) return Number(property.optional) === 1 ? [] : [`${path}.${name}: is missing`];
    return answerProblems(property, entries.get(name), `${path}.${name}`);
  });
}
