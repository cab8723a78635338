import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { spawn } from "node:child_process";

import { cacheDir, contentKey, ensureCached, exists, withLock } from "../../toolchain/cache";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "cache-test-"));
});
afterEach(async () => rm(dir, { recursive: true }));

const silent = (): void => undefined;

it("lies where the environment says", () => {
  expect(cacheDir({ HOMELAB_CACHE_DIR: "/a", XDG_CACHE_HOME: "/b" })).toBe("/a");
  expect(cacheDir({ XDG_CACHE_HOME: "/b" })).toBe("/b/homelab");
  expect(cacheDir({ XDG_CACHE_HOME: "" })).toBe(cacheDir({}));
  expect(cacheDir({ XDG_CACHE_HOME: "relative" })).toBe(cacheDir({}));
});

it("has a key that changes with names and contents", async () => {
  await writeFile(path.join(dir, "a"), "1");
  const key = await contentKey([{ path: dir }, { text: "x" }]);
  expect(await contentKey([{ path: dir }, { text: "x" }])).toBe(key);
  expect(await contentKey([{ path: dir }, { text: "y" }])).not.toBe(key);
  await writeFile(path.join(dir, "a"), "2");
  expect(await contentKey([{ path: dir }, { text: "x" }])).not.toBe(key);
});

it("fills a directory once when two want it at once", async () => {
  let fills = 0;
  const target = path.join(dir, "entry");
  const fill = async (empty: string): Promise<void> => {
    fills++;
    await writeFile(path.join(empty, "file"), "whole");
  };
  await Promise.all([ensureCached(target, silent, fill), ensureCached(target, silent, fill)]);
  expect(fills).toBe(1);
  expect(await readFile(path.join(target, "file"), "utf8")).toBe("whole");
});

it("leaves no half-filled directory behind when filling fails", async () => {
  const target = path.join(dir, "entry");
  const fill = async (empty: string): Promise<void> => {
    await writeFile(path.join(empty, "file"), "half");
    throw new Error("disk full");
  };
  await expect(ensureCached(target, silent, fill)).rejects.toThrow("disk full");
  expect(await exists(target)).toBe(false);
  expect((await readdir(dir)).filter((name) => name.includes("partial"))).toEqual([]);
});

it("gives the lock to the next when its holder was killed", async () => {
  const file = path.join(dir, "lock");
  const module = JSON.stringify(path.join(__dirname, "..", "..", "toolchain", "cache"));
  const script = `require(${module}).withLock(${JSON.stringify(file)}, () => {}, async () => {
    console.log("held");
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  });`;
  const holder = spawn(process.execPath, ["--import", "tsx", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => holder.stdout.once("data", resolve));
  let taken = false;
  const next = withLock(file, silent, async () => {
    taken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(taken).toBe(false);
  holder.kill("SIGKILL");
  await next;
  expect(taken).toBe(true);
}, 30_000);
