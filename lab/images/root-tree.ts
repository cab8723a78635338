/** Root file systems as trees of files: what a layer adds to the layers below it, and the tar archive of that. */
import { lstat, readdir, readlink, writeFile } from "node:fs/promises";
import * as path from "node:path";

import { run } from "../../toolchain/process";

/** Path below the root (no leading slash) -> everything about the entry that a layer can change, as one text. */
export type Tree = ReadonlyMap<string, string>;

/** Reads a root file system. Contents count by size and time of change in ms. */
export async function readTree(root: string): Promise<Tree> {
  const tree = new Map<string, string>();
  const visit = async (dir: string): Promise<void> => {
    for (const name of await readdir(path.join(root, dir))) {
      const file = path.join(dir, name);
      const entry = await lstat(path.join(root, file));
      const target = entry.isSymbolicLink() ? await readlink(path.join(root, file)) : "";
      const content = entry.isDirectory() || entry.isSymbolicLink() ? target : `${entry.size} ${entry.mtimeMs}`;
      tree.set(file, `${entry.mode.toString(8)} ${entry.uid}:${entry.gid} ${content}`);
      if (entry.isDirectory()) await visit(file);
    }
  };
  await visit("");
  return tree;
}

/** The sorted paths that are new or different in `after`. Throws when something vanished: layers here only add. */
export function addedPaths(before: Tree, after: Tree): string[] {
  const vanished = [...before.keys()].filter((file) => !after.has(file));
  if (vanished.length > 0) {
    throw new Error(
      `Unable to make a layer: it removes ${vanished.slice(0, 5).join(", ")} of a layer below. ` +
        `Exclude the files in the recipe of that layer.`,
    );
  }
  return [...after]
    .filter(([file, entry]) => before.get(file) !== entry)
    .map(([file]) => file)
    .sort();
}

/**
 * Writes the tar archive of some paths of a root. Times are set to 0, so that equal content gives an equal archive. Not
 * compressed: inflating a layer costs an emulated CPU more than receiving it.
 */
export async function writeLayerTar(root: string, paths: readonly string[], file: string): Promise<void> {
  const list = `${file}.list`;
  await writeFile(list, paths.map((name) => `${name}\0`).join(""));
  const format = ["--format=gnu", "--numeric-owner", "--mtime=@0", "--no-recursion"];
  await run("tar", ["--create", "--file", file, ...format, "--directory", root, "--null", "--files-from", list]);
}
