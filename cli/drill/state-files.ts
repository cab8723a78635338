/**
 * State in files that a killed Pulumi has left unreadable. It writes the sidecar `<file>.attrs` (content type and checksum) in
 * place, so that a kill can leave an empty one, with which every command on the stack ends in "EOF"; and a lock that it was
 * about to write stays as an empty `.tmp`, which is taken for a lock. Without either, all is well: the state itself takes its
 * name only when it is whole. Source: gocloud.dev `fileblob` (`setAttrs`, `createTemp`), pulumi `backend/diy/lock.go`.
 */
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { expandHome, hasCode, readFileIfThere } from "../../provider/files";
import { errorsIn } from "../pulumi-errors";
import type { RunPulumi } from "./pulumi";

/** What Pulumi says of a file that ends too early. */
const TORN = /\bEOF\b|unexpected end of JSON input/;
/** A living Pulumi has written such a file long before. */
const WRITING_MS = 500;

const whoamiSchema = z.looseObject({ url: z.string() });

/**
 * Runs `pulumi`, and where it can't read its own files, removes the torn ones of this stack and runs the same once more: it has
 * done nothing. States elsewhere than in files are written whole.
 */
export function mendingStateFiles(
  pulumi: RunPulumi,
  { stack, projectDir }: { readonly stack: string; readonly projectDir: string },
  tell: (line: string) => void,
): RunPulumi {
  return async (args, options) => {
    const result = await pulumi(args, options);
    if (result.code === 0 || !errorsIn(result.output).some((text) => TORN.test(text))) return result;
    const dir = stateDirIn((await pulumi(["whoami", "--json"])).output, projectDir);
    const torn = dir === undefined ? [] : await tornFiles(dir, stack);
    if (torn.length === 0) return result;
    for (const file of torn) {
      await rm(file, { force: true });
      tell(`A Pulumi that was killed had left ${file} torn; it was removed.`);
    }
    return pulumi(args, options);
  };
}

/** Folder of a state in files; undefined for any other. */
function stateDirIn(output: string, projectDir: string): string | undefined {
  const [document] = /^\{[\s\S]*^\}/m.exec(output) ?? [];
  if (document === undefined) return undefined;
  const { url } = whoamiSchema.parse(JSON.parse(document));
  const [, path] = /^file:\/\/([^?]*)/.exec(url) ?? [];
  return path === undefined ? undefined : join(resolve(projectDir, expandHome(path)), ".pulumi");
}

/** Of the stack, not of others: those are told of by their own commands. */
async function tornFiles(dir: string, stack: string): Promise<string[]> {
  const states = (await filesIn(join(dir, "stacks"))).filter((file) => basename(file).startsWith(`${stack}.json`));
  const locks = (await filesIn(join(dir, "locks"))).filter((file) => basename(dirname(file)) === stack);
  const own = [...states.filter((file) => file.endsWith(".attrs")), ...locks.filter((file) => file.endsWith(".tmp"))];
  const isSuspect = await Promise.all(own.map(isTorn));
  const suspects = own.filter((_, at) => isSuspect[at]);
  if (suspects.length === 0) return [];
  await delay(WRITING_MS);
  const isStillTorn = await Promise.all(suspects.map(isTorn));
  return suspects.filter((_, at) => isStillTorn[at]);
}

async function filesIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true }).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function isTorn(file: string): Promise<boolean> {
  const text = await readFileIfThere(file);
  if (text === undefined) return false;
  try {
    JSON.parse(text);
    return false;
  } catch {
    return true;
  }
}
