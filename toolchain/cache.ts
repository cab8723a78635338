import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import * as path from "node:path";

import { type Log } from "./process";

/**
 * The project's cache directory, outside the work tree: `HOMELAB_CACHE_DIR`, else `$XDG_CACHE_HOME/homelab`, else
 * `~/.cache/homelab`. Everything in it can be deleted; it is then built again.
 */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env["HOMELAB_CACHE_DIR"]) return path.resolve(env["HOMELAB_CACHE_DIR"]);
  const xdg = env["XDG_CACHE_HOME"];
  // The XDG specification: unset, empty and relative are all the same.
  return path.join(xdg && path.isAbsolute(xdg) ? xdg : path.join(homedir(), ".cache"), "homelab");
}

/** What a cache key is made of: text, or a file or directory whose names and contents count. */
export type KeyPart = { text: string } | { path: string };

/** A short key that changes when any of the parts changes. */
export async function contentKey(parts: readonly KeyPart[]): Promise<string> {
  const hash = createHash("sha256");
  for (const part of parts) {
    if ("text" in part) hash.update(`text\0${part.text}\0`);
    else await hashPath(hash, part.path, "");
  }
  return hash.digest("hex").slice(0, 16);
}

/**
 * Runs `work` while holding an exclusive lock on `file`, so that two runs at once don't do the same work. The lock is the
 * kernel's (flock), held by a child that ends with this process: a crash leaves nothing to clean up.
 */
export async function withLock<T>(file: string, log: Log, work: () => Promise<T>): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true });
  const release = await acquire(file, log);
  try {
    return await work();
  } finally {
    await release();
  }
}

/**
 * Returns the directory `dir` of the cache, made by `fill` if it isn't there. `fill` gets an empty directory beside it,
 * which takes its place only when `fill` has succeeded: a directory that exists is whole.
 */
export async function ensureCached(dir: string, log: Log, fill: (emptyDir: string) => Promise<void>): Promise<string> {
  if (await exists(dir)) return dir;
  return withLock(`${dir}.lock`, log, async () => {
    if (await exists(dir)) return dir;
    const partial = `${dir}.partial`;
    await rm(partial, { recursive: true, force: true }); // of a run that was killed
    await mkdir(partial, { recursive: true });
    try {
      await fill(partial);
      await rename(partial, dir);
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
    return dir;
  });
}

/** Whether a file or directory exists. */
export async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    // No instanceof: in jest, the errors of node:fs come from another realm.
    const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}

async function hashPath(hash: ReturnType<typeof createHash>, file: string, name: string): Promise<void> {
  if ((await stat(file)).isDirectory()) {
    for (const child of (await readdir(file)).sort()) await hashPath(hash, path.join(file, child), `${name}/${child}`);
  } else {
    const content = await readFile(file);
    hash.update(`file\0${name}\0${content.length}\0`).update(content);
  }
}

async function acquire(file: string, log: Log): Promise<() => Promise<void>> {
  // The child says "locked" once it has the lock and ends when its stdin closes, at the latest with this process.
  const child = spawn("flock", [file, "sh", "-c", "echo locked; cat >/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    detached: true, // an interrupt from the terminal must not free the lock before this process has ended its work
  });
  const waiting = setTimeout(() => log(`waiting for another run that holds ${file} …`), 2_000);
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve());
      child.once("error", (error) =>
        reject(
          new Error(`Unable to lock ${file}: ${error.message}. Install the package util-linux (it has flock).`, {
            cause: error,
          }),
        ),
      );
      child.once("exit", (code) =>
        reject(new Error(`Unable to lock ${file}: flock ended with ${code ?? "a signal"}.`)),
      );
    });
  } finally {
    clearTimeout(waiting);
  }
  return () =>
    new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.stdin.end();
    });
}
