/**
 * `images.lock.json`: which content each image of the catalogue has. A tag can be moved, a digest can't. Each target has
 * its own file (`homelab:files.imagesLock`): the operator's is made by `homelab lock` and committed, the lab writes that of
 * its own images.
 */
import { z } from "zod";
import { matching } from "../services/checks/text-schema";
import type { ServiceSpec } from "../services/spec";
import { readIfThere } from "./project-files";

const imagesLockSchema = z.strictObject({
  lockVersion: z.literal(1, "1"),
  /** Reference as in a service's `image` -> digest of its manifest or index, as the registry names it. */
  images: z.record(z.string(), matching(/^sha256:[0-9a-f]{64}$/, "sha256:<64 hex digits>")),
});

/** Digest `sha256:<hex>` by image reference as in the catalogue. */
export type ImagesLock = ReadonlyMap<string, string>;

/** Nothing is locked where there is no file. Throws an Error that names the file and every problem in it. */
export function readImagesLock(file: string): ImagesLock {
  const text = readIfThere(file);
  if (text === undefined) return new Map();
  const remedy = "Correct it, or make it anew with: npm run homelab -- lock";
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`Unable to read ${file}: it is not JSON (${cause}). ${remedy}`, { cause: error });
  }
  const { success, data, error } = imagesLockSchema.safeParse(content);
  if (success) return new Map(Object.entries(data.images));
  const problems = error.issues.map((issue) => `${issue.path.join(".") || "the file"}: ${issue.message}`);
  throw new Error(`Unable to use ${file}: ${problems.join("; ")}. ${remedy}`);
}

/** The file's text, sorted, so that only what changed shows in a review. */
export function printImagesLock(lock: ImagesLock): string {
  const images = Object.fromEntries([...lock].sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ lockVersion: 1, images }, undefined, 2)}\n`;
}

/** Digest that an image must have; undefined where neither the reference nor the lock names one. */
export function digestOf(image: string, lock: ImagesLock): string | undefined {
  return lock.get(image) ?? /@(sha256:[0-9a-f]{64})$/.exec(image)?.[1];
}

/** The reference with the digest that the engine shall pull, e.g. `postgres:15-bookworm@sha256:…`. */
export function lockedReference(image: string, lock: ImagesLock): string {
  const digest = lock.get(image);
  return digest === undefined || image.includes("@") ? image : `${image}@${digest}`;
}

/** Images of the catalogue without a digest, each once. */
export function unlockedImages(catalogue: readonly ServiceSpec[], lock: ImagesLock): string[] {
  const images = catalogue.map(({ image }) => image).filter((image) => digestOf(image, lock) === undefined);
  return [...new Set(images)].sort();
}
