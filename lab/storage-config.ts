/** The lab's `storage.cfg`: which storages exist, as `/storage` shows and changes them. */
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { Faults } from "./faults/faults";
import { readJsonFile, writeJsonFile } from "./json-file";
import { type LabSpec } from "./spec";

const definitionSchema = z.strictObject({
  storage: z.string(),
  type: z.enum(["dir", "lvmthin", "nfs"]),
  content: z.array(z.string()),
  path: z.string().optional(),
  nodes: z.string().optional(),
  disable: z.boolean().optional(),
  shared: z.boolean().optional(),
  "create-base-path": z.boolean().optional(),
  "create-subdirs": z.boolean().optional(),
  "prune-backups": z.string().optional(),
  "max-protected-backups": z.number().optional(),
  /** NFS only: what PVE would mount. The lab keeps such a storage in a folder of its own, as it does all others. */
  server: z.string().optional(),
  export: z.string().optional(),
  options: z.string().optional(),
});

/** One storage. Booleans and lists are converted to PVE's forms only in answers. */
export type StorageDefinition = z.infer<typeof definitionSchema>;

const stateSchema = z.array(definitionSchema);

/** Sub-folders of a directory storage, by content type (PVE::Storage::Plugin `$vtype_subdirs`). */
export const CONTENT_FOLDERS = {
  images: "images",
  iso: "template/iso",
  vztmpl: "template/cache",
  import: "import",
  snippets: "snippets",
  backup: "dump",
} as const;

/** Size of a directory storage that the lab's specification does not know: it lies on the node's root file system. */
const DEFAULT_TOTAL_BYTES = 64 * 1024 ** 3;

/** Storages by id, kept in `<dir>/etc/storage.json`. */
export class StorageConfig {
  private readonly file: string;
  private definitions: StorageDefinition[];

  constructor(
    private readonly spec: Pick<LabSpec, "dir" | "storages">,
    private readonly faults: Faults = new Faults(),
  ) {
    this.file = join(spec.dir, "etc", "storage.json");
    const stored = readJsonFile(this.file);
    this.definitions = stored === undefined ? predefined(spec) : stateSchema.parse(stored);
    this.save();
    for (const definition of this.definitions) this.makeFolders(definition);
  }

  list(): readonly StorageDefinition[] {
    return this.definitions;
  }

  find(id: string): StorageDefinition | undefined {
    return this.definitions.find(({ storage }) => storage === id);
  }

  /** @throws Error with PVE's text for a storage that does not exist. */
  get(id: string): StorageDefinition {
    const found = this.find(id);
    if (found === undefined) throw new Error(`storage '${id}' does not exist`);
    return found;
  }

  /** Whether the storage can be reached; a disabled one is not. */
  isActive({ storage, disable }: StorageDefinition): boolean {
    return disable !== true && !this.faults.isOffline(storage);
  }

  /** @throws Error with PVE's text for a storage that can't be reached (pve-storage `activate_storage`). */
  requireOnline({ storage }: StorageDefinition): void {
    if (this.faults.isOffline(storage)) throw new Error(`storage '${storage}' is not online`);
  }

  /** Adds or replaces a storage and makes its folders. */
  put(definition: StorageDefinition): void {
    this.definitions = [...this.definitions.filter(({ storage }) => storage !== definition.storage), definition].sort(
      (left, right) => left.storage.localeCompare(right.storage),
    );
    this.save();
    this.makeFolders(definition);
  }

  /** Forgets a storage; its files stay, as on PVE. */
  remove(id: string): void {
    this.definitions = this.definitions.filter(({ storage }) => storage !== id);
    this.save();
  }

  /** Real folder behind a storage. */
  root(definition: StorageDefinition): string {
    return definition.path === undefined
      ? join(this.spec.dir, "storage", definition.storage)
      : join(this.spec.dir, "fs", definition.path);
  }

  /** The path that PVE would report for a file of a storage. */
  reportedPath(definition: StorageDefinition, realPath: string): string {
    const root = this.root(definition);
    return `${definition.path ?? `/dev/${definition.storage}`}${realPath.slice(root.length)}`;
  }

  totalBytes(definition: StorageDefinition): number {
    return this.spec.storages.find(({ id }) => id === definition.storage)?.totalBytes ?? DEFAULT_TOTAL_BYTES;
  }

  digest(): string {
    return createHash("sha1").update(JSON.stringify(this.definitions)).digest("hex");
  }

  private makeFolders(definition: StorageDefinition): void {
    const root = this.root(definition);
    mkdirSync(root, { recursive: true });
    if (definition.type === "lvmthin" || definition["create-subdirs"] === false) return;
    for (const [content, folder] of Object.entries(CONTENT_FOLDERS))
      if (definition.content.includes(content)) mkdirSync(join(root, folder), { recursive: true });
  }

  private save(): void {
    writeJsonFile(this.file, this.definitions);
  }
}

function predefined(spec: Pick<LabSpec, "storages">): StorageDefinition[] {
  return spec.storages
    .filter((storage) => storage.predefined)
    .map(({ id, kind, content, path }) => ({
      storage: id,
      type: kind,
      content,
      ...(path === undefined ? {} : { path }),
    }));
}
