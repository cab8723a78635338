/** What the lab's container images are described with; `recipes/` holds the descriptions. */

/** A program that is compiled from its published Go module. */
export interface GoProgram {
  /** Name of the executable and of the folder below `go/` that holds its go.mod and go.sum. */
  name: string;
  /** What `go build` compiles: a package of a required module, or "." for the folder's own main package. */
  package: string;
  /** Go variables that the linker sets. */
  variables?: Readonly<Record<string, string>>;
  /** Rough duration of a build without caches on 2 cores, in seconds; only shown in progress lines. */
  coldSeconds: number;
}

/** One layer of an image: what is laid over the layers below it. */
export interface LayerRecipe {
  /** Name in progress lines and in the cache. */
  name: string;
  /** The layer below; absent: this is a base layer. */
  below?: LayerRecipe;
  /** Debian packages, unpacked and not configured; dependencies are not followed but checked (missing libraries fail). */
  packages?: readonly string[];
  /** Paths in the packages that are left out, as patterns of tar's `--exclude` without the leading slash. */
  exclude?: readonly string[];
  /** Program that is put into /usr/bin. */
  program?: GoProgram;
  /** Files laid over the root: path in the image -> file of this repository. Executable if that file is. */
  files?: Readonly<Record<string, string>>;
  /** Shell script run on the building machine at the end, with the root as `$1`. Has to be repeatable. */
  finish?: string;
}

/** The part of an OCI image configuration that a recipe sets, by its names in the image specification. */
export interface ImageConfig {
  User?: string;
  ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  Env: readonly string[];
  Entrypoint?: readonly string[];
  Cmd: readonly string[];
  Volumes?: Readonly<Record<string, Record<string, never>>>;
  WorkingDir?: string;
  StopSignal?: string;
}

/** An image that the lab can build under the name of a public one. */
export interface ImageRecipe {
  /** Repository as a registry names it, such as `library/postgres`. */
  repository: string;
  /** Tags of the public image that this recipe stands for. */
  tags: readonly string[];
  /** Topmost layer; the others follow from `below`. */
  layer: LayerRecipe;
  config: ImageConfig;
}

/** The layers of an image from the bottom up. */
export function layersOf(layer: LayerRecipe): LayerRecipe[] {
  return layer.below === undefined ? [layer] : [...layersOf(layer.below), layer];
}
