/** What lies on a storage, as `…/content` lists it. */
import { statSync } from "node:fs";
import { parseArchiveName } from "../pve/archive-name";
import { isProtected, readNotes } from "./backup-files";
import { type LabVolumes, type FileContent } from "./storage";
import { type StorageDefinition } from "./storage-config";

/** One volume. Optional fields are absent rather than empty, as on PVE. */
export interface ContentItem {
  readonly volid: string;
  readonly content: "images" | FileContent;
  readonly format: string;
  /** Bytes. */
  readonly size: number;
  /** Seconds since the epoch; an archive's is the time in its name. */
  readonly ctime: number;
  readonly vmid?: number;
  readonly subtype?: "qemu";
  /** First line only. */
  readonly notes?: string;
  readonly protected?: 1;
  readonly used?: number;
}

const FILE_CONTENT: readonly FileContent[] = ["iso", "vztmpl", "import", "snippets", "backup"];

/** Names that PVE takes for an archive; everything else in `dump/` (logs, notes, unfinished `.dat`) is not listed. */
const ARCHIVE = /\.(tgz|((tar|vma)(\.(gz|lzo|zst|bz2))?))$/;

export async function listContent(
  volumes: LabVolumes,
  definition: StorageDefinition,
  filter: { content?: string; vmId?: number },
): Promise<ContentItem[]> {
  const wanted = definition.content.filter((content) => filter.content === undefined || content === filter.content);
  const items: ContentItem[] = [];
  if (wanted.includes("images"))
    for (const { volid, path, vmId } of await volumes.images(definition.storage)) {
      const file = statSync(path, { throwIfNoEntry: false });
      if (file === undefined) continue;
      const ctime = Math.floor(file.birthtimeMs / 1000);
      items.push({
        volid,
        content: "images",
        format: "raw",
        size: file.size,
        used: file.blocks * 512,
        ctime,
        vmid: vmId,
      });
    }
  for (const content of FILE_CONTENT)
    if (wanted.includes(content))
      for (const { volid, path } of await volumes.files(definition, content)) {
        const item = fileItem(volid, content, path);
        if (item !== undefined) items.push(item);
      }
  return items.filter(({ vmid }) => filter.vmId === undefined || vmid === filter.vmId);
}

function fileItem(volid: string, content: FileContent, path: string): ContentItem | undefined {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file?.isFile() !== true) return undefined;
  const common = { volid, content, size: file.size, ctime: Math.floor(file.mtimeMs / 1000) };
  if (content !== "backup") {
    if (path.includes(".tmp_dwnl.")) return undefined;
    return { ...common, format: content === "snippets" ? "snippet" : (/\.([^.]+)$/.exec(path)?.[1] ?? "raw") };
  }
  const format = ARCHIVE.exec(path)?.[1];
  if (format === undefined) return undefined;
  const name = parseArchiveName(volid);
  const notes = readNotes(path).split("\n")[0] ?? "";
  return {
    ...common,
    format,
    ...(name === undefined
      ? {}
      : { ctime: Math.floor(name.time.getTime() / 1000), vmid: name.vmId, subtype: "qemu" as const }),
    ...(notes === "" ? {} : { notes }),
    ...(isProtected(path) ? { protected: 1 as const } : {}),
  };
}
