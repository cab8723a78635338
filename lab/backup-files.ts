/** Files that belong to an archive on a directory storage: notes and protection marker (PVE::Storage::DirPlugin). */
import { existsSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { notesPath, protectionPath } from "./backup/archives";

/** Whole text of an archive's notes; empty without any. */
export function readNotes(archivePath: string): string {
  return existsSync(notesPath(archivePath)) ? readFileSync(notesPath(archivePath), "utf8") : "";
}

/** An empty text removes the notes. */
export async function writeNotes(archivePath: string, text: string): Promise<void> {
  if (text === "") await rm(notesPath(archivePath), { force: true });
  else await writeFile(notesPath(archivePath), text);
}

export function isProtected(archivePath: string): boolean {
  return existsSync(protectionPath(archivePath));
}

export async function setProtected(archivePath: string, value: boolean): Promise<void> {
  if (value) await writeFile(protectionPath(archivePath), "");
  else await rm(protectionPath(archivePath), { force: true });
}
