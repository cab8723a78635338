import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { ServiceSpec } from "../../services/spec";
import { digestOf, lockedReference, printImagesLock, readImagesLock, unlockedImages } from "../../stacks/images-lock";

const DIGEST = `sha256:${"a".repeat(64)}`;
let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "images-lock-"));
  file = path.join(folder, "images.lock.json");
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("what is written is read again, sorted by image", () => {
  const text = printImagesLock(
    new Map([
      ["b:2", DIGEST],
      ["a:1", DIGEST],
    ]),
  );
  writeFileSync(file, text);
  expect(text.indexOf("a:1")).toBeLessThan(text.indexOf("b:2"));
  expect([...readImagesLock(file).keys()]).toEqual(["a:1", "b:2"]);
});

test("no file locks nothing", () => {
  expect(readImagesLock(path.join(folder, "none.json")).size).toBe(0);
});

test.each([
  ["{", /it is not JSON \(.+\)\. Correct it, or make it anew with: npm run homelab -- lock$/],
  [
    JSON.stringify({ lockVersion: 2, images: { "a:1": "sha256:12" } }),
    /lockVersion: .*1.*; images\.a:1: .*sha256:<64 hex digits>.*\. Correct it, or make it anew/,
  ],
])("a file that can't be used is refused with every problem: %s", (text, message) => {
  writeFileSync(file, text);
  expect(() => readImagesLock(file)).toThrow(message);
});

test("a lock adds the digest to the reference and leaves one that has its own", () => {
  const lock = new Map([["postgres:15", DIGEST]]);
  expect(lockedReference("postgres:15", lock)).toBe(`postgres:15@${DIGEST}`);
  expect(lockedReference("caddy:2", lock)).toBe("caddy:2");
  const own = `caddy:2@sha256:${"b".repeat(64)}`;
  expect(lockedReference(own, lock)).toBe(own);
  expect(digestOf(own, lock)).toBe(`sha256:${"b".repeat(64)}`);
  const catalogue = ["postgres:15", "caddy:2", "caddy:2", own].map((image) => ({ image }) as ServiceSpec);
  expect(unlockedImages(catalogue, lock)).toEqual(["caddy:2"]);
});
