/** The file of a claim: made whole or not at all, and taken over from a dead process by one process only. */
import { createHash, randomBytes } from "node:crypto";
import { link, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { readFileIfThere } from "../../provider/files";
import { CliError, hasCode } from "../errors";

/** What a process that takes over leaves if it is killed just then. */
const GUARD = ".taking";
const TEMPORARY = ".tmp";
/** What link(2) says on a file system without hard links. */
const NO_LINKS = ["EPERM", "ENOTSUP", "EOPNOTSUPP"];

/** Makes a file with this content in one step. False: there is one. */
export async function createWhole(file: string, content: string): Promise<boolean> {
  const temporary = await writeBeside(file, content);
  try {
    await link(temporary, file);
    return true;
  } catch (error) {
    // Without the temporary file, somebody else has the claim and has cleaned up.
    if (hasCode(error, "EEXIST") || hasCode(error, "ENOENT")) return false;
    if (!NO_LINKS.some((code) => hasCode(error, code))) throw error;
    throw new CliError(
      `Unable to write ${file}: its file system makes no hard links. Put the evidence (homelab:files) on one that does.`,
    );
  } finally {
    await rm(temporary, { force: true });
  }
}

export interface TakeOver {
  readonly file: string;
  /** Content of the claim that is dead. */
  readonly dead: string;
  readonly content: string;
  /** Who holds a file that is written as a claim; undefined: nobody. */
  readonly whoLives: (file: string) => Promise<string | undefined>;
}

/**
 * Replaces a dead claim in one step: were it removed first, a kill just then would lose its runs. False: somebody else has it.
 *
 * A guard that is named for what is dead can be made once. Whoever finds the guard of a process that has died too makes the
 * next one, named for both, so that nobody ever removes what another may have just made.
 */
export async function replaceDead({ file, dead, content, whoLives }: TakeOver): Promise<boolean> {
  for (let name = hash(dead); ;) {
    const guard = `${file}.${name}${GUARD}`;
    if (await createWhole(guard, content)) {
      if ((await readFileIfThere(file)) !== dead) {
        await rm(guard, { force: true });
        return false;
      }
      const temporary = await writeBeside(file, content);
      await rename(temporary, file);
      return true;
    }
    const other = await readFileIfThere(guard);
    // It has gone because the claim is another's by now.
    if (other === undefined || (await whoLives(guard)) !== undefined) return false;
    name = hash(name + other);
  }
}

/** Removes what processes left beside the file that were killed. Only for whoever has the claim. */
export async function removeLitter(file: string): Promise<void> {
  const folder = dirname(file);
  for (const name of await readdir(folder)) {
    const isLitter = name.startsWith(`${basename(file)}.`) && (name.endsWith(TEMPORARY) || name.endsWith(GUARD));
    if (isLitter) await rm(join(folder, name), { force: true });
  }
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

async function writeBeside(file: string, content: string): Promise<string> {
  const temporary = `${file}.${randomBytes(4).toString("hex")}${TEMPORARY}`;
  const opened = await open(temporary, "wx");
  try {
    await opened.writeFile(content);
    await opened.sync();
  } finally {
    await opened.close();
  }
  return temporary;
}
