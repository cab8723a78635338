/**
 * What Proxmox' official API schema (pve-docs `apidata.js`) says about the calls that the lab emulates: `pve-calls.yaml`
 * beside this file. The schema itself is Proxmox's file and no part of the repository; where it lies beside the repository,
 * or where `HOMELAB_PVE_SCHEMA` says, the extract is compared with it, and `UPDATE_GOLDENS=1` writes the extract anew.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { z } from "zod";

/** A value as the schema describes it. */
export interface SchemaNode {
  readonly type?: string;
  readonly optional?: boolean;
  readonly enum?: readonly (string | number)[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
}

/** One call. */
export interface SchemaMethod {
  /** Type by parameter name; an optional one ends with `?`. */
  readonly takes: Readonly<Record<string, string>>;
  readonly returns: SchemaNode;
  readonly permissions: SchemaPermissions;
}

/** Who may call: a test that PVE makes itself, or everybody; the description tells what its code checks. */
export interface SchemaPermissions {
  readonly user?: "all";
  readonly check?: unknown;
  readonly description?: string;
}

/** Calls by `<METHOD> <path>`. */
export type PveSchema = Readonly<Record<string, SchemaMethod>>;

/** A node as the extract has it: a plain value is its type alone, with `?` when optional. */
type ShortNode =
  | string
  | {
      readonly type?: string;
      readonly optional?: boolean;
      readonly enum?: readonly (string | number)[];
      readonly properties?: Readonly<Record<string, ShortNode>>;
      readonly items?: ShortNode;
    };

const nodeSchema: z.ZodType<SchemaNode> = z.lazy(() =>
  z.union([
    z.string().transform((type) => ({ type: type.replace(/\?$/, ""), optional: type.endsWith("?") })),
    z.strictObject({
      type: z.string().optional(),
      optional: z.boolean().optional(),
      enum: z.array(z.union([z.string(), z.number()])).optional(),
      properties: z.record(z.string(), nodeSchema).optional(),
      items: nodeSchema.optional(),
    }),
  ]),
);
const extractSchema = z.record(
  z.string(),
  z.strictObject({
    takes: z.record(z.string(), z.string()),
    returns: nodeSchema,
    permissions: z
      .strictObject({
        user: z.literal("all").optional(),
        check: z.unknown().optional(),
        description: z.string().optional(),
      })
      .default({}),
  }),
);

/** A node of the official file, with much that is not compared. Perl writes true as 1 or "1". */
interface OfficialNode {
  readonly type?: string;
  readonly optional?: number | string;
  readonly enum?: readonly (string | number)[];
  readonly properties?: Readonly<Record<string, OfficialNode>>;
  readonly items?: OfficialNode;
}

/** The official file, keyed by `<METHOD> <path>`. */
export type OfficialSchema = Readonly<
  Record<
    string,
    { readonly parameters: OfficialNode; readonly returns?: OfficialNode; readonly permissions?: SchemaPermissions }
  >
>;

/** The committed extract. */
export const EXTRACT_FILE = join(__dirname, "pve-calls.yaml");
export const SCHEMA_FILE =
  process.env["HOMELAB_PVE_SCHEMA"] ?? join(__dirname, "..", "..", "..", "shared", "pve-api.json");

const extract: unknown = parse(readFileSync(EXTRACT_FILE, "utf8"));

/** What the repository knows of the schema. */
export const pveSchema: PveSchema = extractSchema.parse(extract);

/** The official file; undefined where it is missing. */
export function officialSchema(): OfficialSchema | undefined {
  return existsSync(SCHEMA_FILE) ? (JSON.parse(readFileSync(SCHEMA_FILE, "utf8")) as OfficialSchema) : undefined;
}

/** Text of the extract for these calls. A call that the official schema lacks is left out. */
export function printExtract(official: OfficialSchema, calls: readonly string[]): string {
  const entries = [...calls].sort().flatMap((call) => {
    const method = official[call];
    if (method === undefined) return [];
    const takes = Object.entries(method.parameters.properties ?? {}).map(
      ([name, { type = "string", optional }]): [string, string] => [name, short(type, optional)],
    );
    const returns = reduce(method.returns ?? { type: "null" });
    return [[call, { permissions: method.permissions ?? {}, takes: Object.fromEntries(takes.sort()), returns }]];
  });
  const head = "# Extract of Proxmox VE's API schema for the calls that the lab emulates. Written by pve-schema.ts.\n";
  return head + stringify(Object.fromEntries(entries), { lineWidth: 0, aliasDuplicateObjects: false });
}

function short(type: string, optional: number | string | undefined): string {
  return `${type}${Number(optional ?? 0) === 1 ? "?" : ""}`;
}

function reduce({ type, optional, enum: values, properties, items }: OfficialNode): ShortNode {
  if (type !== undefined && [values, properties, items].every((part) => part === undefined)) {
    return short(type, optional);
  }
  const sorted = Object.entries(properties ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...(type === undefined ? {} : { type }),
    ...(Number(optional ?? 0) === 1 ? { optional: true } : {}),
    ...(values === undefined ? {} : { enum: values }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(sorted.map(([name, node]) => [name, reduce(node)])) }),
    ...(items === undefined ? {} : { items: reduce(items) }),
  };
}

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
    if (!entries.has(name)) return property.optional === true ? [] : [`${path}.${name}: is missing`];
    return answerProblems(property, entries.get(name), `${path}.${name}`);
  });
}
