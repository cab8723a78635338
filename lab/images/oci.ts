/**
 * The container images that the lab's registry serves under the names of public ones, built from Debian packages and Go
 * modules. A new image is one file in `recipes/` and one line in {@link RECIPES}.
 */
import { link, mkdir, writeFile } from "node:fs/promises";
import * as path from "node:path";

import { contentKey, ensureCached } from "../../toolchain/cache";
import type { Log } from "../../toolchain/process";
import { LayerBuilder } from "./layer";
import { type Blob, imageDocuments, layoutIndex } from "./oci-image";
import { type ImageRecipe, layersOf } from "./recipe";
import { CADDY } from "./recipes/caddy";
import { MINIFLUX } from "./recipes/miniflux";
import { POSTGRES } from "./recipes/postgres";

/** All images that the lab can build. */
export const RECIPES: readonly ImageRecipe[] = [POSTGRES, CADDY, MINIFLUX];

/** Images on disk, for the lab's registry. */
export interface RegistryContent {
  /** An OCI image layout: blobs in `blobs/sha256/<hex>`. In the cache: never write to it. */
  root: string;
  /** Repository and tag, such as `library/postgres:15-bookworm` -> digest of the manifest, `sha256:…`. */
  tags: Record<string, string>;
}

/** What {@link ensureRegistryImages} is to do. */
export interface RegistryImagesArgs {
  /** Root of the project's cache; the images lie below `images/`. */
  cacheDir: string;
  /** Takes the progress lines. */
  log: Log;
  /** References as in a service's `image`, such as `postgres:15-bookworm`. */
  wanted: readonly string[];
}

/**
 * Returns the wanted images, built where the cache has none of their recipes (minutes; root and network needed; seconds
 * when only the layout has to be put together). Throws for a reference without a recipe, with the list of what can be built.
 */
export async function ensureRegistryImages(args: RegistryImagesArgs): Promise<RegistryContent> {
  const references = [...new Set(args.wanted.map(canonicalReference))].sort();
  const images = references.map((reference) => ({ reference, recipe: recipeOf(reference) }));
  const cache = path.join(args.cacheDir, "images");
  await mkdir(cache, { recursive: true });
  const builder = new LayerBuilder(cache, args.log);
  const built = await Promise.all(
    images.map(async ({ reference, recipe }) => {
      const layers = await Promise.all(
        layersOf(recipe.layer).map(async (layer) => ({ name: layer.name, ...(await builder.build(layer)) })),
      );
      return { reference, layers, ...imageDocuments(recipe.config, layers) };
    }),
  );
  const manifests = Object.fromEntries(built.map(({ reference, manifest }) => [reference, manifest]));
  const layout = layoutIndex(manifests);
  const key = await contentKey([{ text: layout }]);
  const root = await ensureCached(path.join(cache, `registry-${key}`), args.log, async (dir) => {
    const blobs = path.join(dir, "blobs", "sha256");
    await mkdir(blobs, { recursive: true });
    const layers = new Map(built.flatMap((image) => image.layers).map((layer) => [layer.digest, layer.file]));
    for (const [digest, file] of layers) await link(file, path.join(blobs, hexOf(digest)));
    for (const { config, manifest } of built) for (const blob of [config, manifest]) await writeBlob(blobs, blob);
    await writeFile(path.join(dir, "index.json"), layout);
    await writeFile(path.join(dir, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  });
  return { root, tags: Object.fromEntries(Object.entries(manifests).map(([name, blob]) => [name, blob.digest])) };
}

/**
 * The reference as a registry mirror is asked for it: Docker Hub's host name dropped, `library/` added to official images.
 * Throws for one without a tag, for other registries and for digests: what the lab builds has digests of its own.
 */
export function canonicalReference(reference: string): string {
  const match = /^(?:docker\.io\/|index\.docker\.io\/)?((?:[a-z0-9._-]+\/)*[a-z0-9._-]+):([\w][\w.-]{0,127})$/.exec(
    reference,
  );
  const [, repository, tag] = match ?? [];
  const host = repository?.includes("/") === true ? repository.split("/")[0] : undefined;
  if (repository === undefined || tag === undefined || host?.includes(".") === true) {
    throw new Error(
      `Unable to build the image "${reference}" for the lab: it has to be an image of Docker Hub with a tag and ` +
        `without a digest, such as postgres:15-bookworm. Correct the reference.`,
    );
  }
  return `${repository.includes("/") ? repository : `library/${repository}`}:${tag}`;
}

function recipeOf(reference: string): ImageRecipe {
  const recipe = RECIPES.find((image) => image.tags.some((tag) => `${image.repository}:${tag}` === reference));
  if (recipe !== undefined) return recipe;
  const known = RECIPES.flatMap((image) =>
    image.tags.map((tag) => `${image.repository.replace(/^library\//, "")}:${tag}`),
  );
  throw new Error(
    `Unable to build the image "${reference.replace(/^library\//, "")}" for the lab: there is no recipe for it. ` +
      `Use one of ${known.join(", ")}, or add a recipe to lab/images/recipes/.`,
  );
}

async function writeBlob(blobs: string, blob: Blob): Promise<void> {
  await writeFile(path.join(blobs, hexOf(blob.digest)), blob.content);
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}
