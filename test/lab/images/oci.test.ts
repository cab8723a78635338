import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";

import { requiredVersion } from "../../../lab/images/go-program";
import { canonicalReference, ensureRegistryImages, RECIPES } from "../../../lab/images/oci";
import { layersOf } from "../../../lab/images/recipe";
import { loadCatalogue } from "../../../services/catalogue";

describe("canonicalReference", () => {
  it.each([
    ["postgres:15-bookworm", "library/postgres:15-bookworm"],
    ["docker.io/library/caddy:2.11.1", "library/caddy:2.11.1"],
    ["miniflux/miniflux:2.2.10", "miniflux/miniflux:2.2.10"],
    ["index.docker.io/miniflux/miniflux:2.2.10", "miniflux/miniflux:2.2.10"],
  ])("%s is asked of a mirror as %s", (reference, canonical) => {
    expect(canonicalReference(reference)).toBe(canonical);
  });

  it.each([
    "postgres",
    "ghcr.io/a/b:1",
    `postgres@sha256:${"0".repeat(64)}`,
    `postgres:15@sha256:${"0".repeat(64)}`,
    "",
  ])("refuses %p", (reference) => {
    expect(() => canonicalReference(reference)).toThrow(
      `Unable to build the image "${reference}" for the lab: it has to`,
    );
  });
});

describe("ensureRegistryImages", () => {
  it("refuses an image without a recipe before it builds anything, and says what there is", async () => {
    const cacheDir = await mkdtemp(path.join(tmpdir(), "homelab-oci-"));
    try {
      const build = ensureRegistryImages({ cacheDir, log: () => undefined, wanted: ["caddy:2.11.1", "redis:7"] });
      await expect(build).rejects.toThrow(
        'Unable to build the image "redis:7" for the lab: there is no recipe for it. Use one of postgres:15-bookworm, caddy:2.11.1, miniflux/miniflux:2.2.10, or add a recipe',
      );
      expect(await readdir(cacheDir)).toEqual([]);
    } finally {
      await rm(cacheDir, { recursive: true });
    }
  });
});

describe("recipes", () => {
  it("cover every image of the catalogue", () => {
    const known = RECIPES.flatMap((image) => image.tags.map((tag) => `${image.repository}:${tag}`));
    for (const service of loadCatalogue()) expect(known).toContain(canonicalReference(service.image));
  });

  it("share one base layer", () => {
    expect(new Set(RECIPES.map((image) => layersOf(image.layer)[0]?.name))).toEqual(new Set(["base"]));
  });

  it.each([
    ["caddy", "github.com/caddyserver/caddy/v2", "library/caddy"],
    ["miniflux", "miniflux.app/v2", "miniflux/miniflux"],
  ])("tag %s with the version that its go.mod requires", async (program, module, repository) => {
    const tags = RECIPES.find((image) => image.repository === repository)?.tags.map((tag) => `v${tag}`);
    expect(tags).toEqual([await requiredVersion(program, module)]);
  });
});
